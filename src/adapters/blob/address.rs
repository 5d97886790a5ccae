//! The address of a request, made from an upload URI as text: its query is
//! signed and stays byte for byte what it was.

use zeroize::Zeroize;

use crate::adapters::http::text::encode;
use crate::upload::uri::UploadUri;

/// The address of one request. It holds the signature, so it does not print
/// and is wiped when dropped.
pub(super) struct Address(String);

impl Address {
    /// Takes the upload URI as it is.
    pub(super) fn of(uri: &UploadUri) -> Self {
        Self(uri.expose().to_owned())
    }

    /// Descends to a blob of the container the address names.
    pub(super) fn below(self, name: &str) -> Self {
        let (path, query) = self.0.split_once('?').map_or((self.0.as_str(), None), |(path, query)| (path, Some(query)));
        let segments: Vec<String> = name.split('/').map(encode).collect();
        let mut text = format!("{}/{}", path.trim_end_matches('/'), segments.join("/"));
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        Self(text)
    }

    /// Appends to the query.
    pub(super) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        for (name, value) in pairs {
            match self.0.split_once('?') {
                None => self.0.push('?'),
                Some((_, "")) => (),
                Some((_, query)) if query.ends_with('&') => (),
                Some(_) => self.0.push('&'),
            }
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&encode(value));
        }
        self
    }

    /// Returns the address, for the request itself.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::of(&UploadUri::parse(text, &["a.test".to_owned()]).unwrap())
    }

    #[test]
    fn the_query_stays_byte_for_byte_and_more_is_appended() {
        let signed = "https://a.test/c/b?sv=2024-11-04&sr=b&sp=w&se=2026-01-01T00%3A00%3a00Z&sig=a%2Bb/c+d%3D";
        let sent = address(signed).query(&[("comp", "block"), ("blockid", "QUJD+/8=")]);
        assert_eq!(sent.as_str(), format!("{signed}&comp=block&blockid=QUJD%2B%2F8%3D"));
        assert_eq!(address("https://a.test/b").query(&[("comp", "x")]).as_str(), "https://a.test/b?comp=x");
        assert_eq!(address("https://a.test/b?").query(&[("comp", "x")]).as_str(), "https://a.test/b?comp=x");
        assert_eq!(address("https://a.test/b?a&").query(&[("comp", "x")]).as_str(), "https://a.test/b?a&comp=x");
    }

    #[test]
    fn a_blob_is_named_below_the_path_and_before_the_query() {
        let sent = address("https://a.test/c/?sr=c&si=p&sig=x").below("block 0001/ä?#");
        assert_eq!(sent.as_str(), "https://a.test/c/block%200001/%C3%A4%3F%23?sr=c&si=p&sig=x");
        assert_eq!(address("https://a.test/c").below("b").as_str(), "https://a.test/c/b");
    }
}
