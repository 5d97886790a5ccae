//! Shared access signatures: what the sandbox signed, and whether a request
//! stays within it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use url::form_urlencoded;

use crate::sandbox::quirks::{Quirks, UriForm};
use crate::sandbox::reply::Refusal;
use crate::sandbox::settings::SandboxSettings;
use crate::sandbox::times;

/// What a signature was given for.
pub(in crate::sandbox) struct Grant {
    /// The session whose blocks it takes.
    pub(in crate::sandbox) session: String,
    /// The path it leads to, without a slash at the end.
    pub(in crate::sandbox) place: Arc<str>,
    /// Whether it leads to one blob, or to all below the path.
    exact: bool,
    rights: String,
    ends: DateTime<Utc>,
    marks: Vec<(String, String)>,
}

/// Query parameters that are the operation's and not the signature's.
const OPERATION: &[&str] = &["comp", "blockid", "blocklisttype", "timeout"];

impl Grant {
    /// Signs a place for a session from now on, and returns the URI with it.
    pub(in crate::sandbox) fn sign(
        session: &str,
        place: &Arc<str>,
        signature: &str,
        now: DateTime<Utc>,
        settings: &SandboxSettings,
    ) -> (Self, String) {
        let quirks = &settings.quirks;
        let end = times::whole_second(times::later(now, settings.upload_uri_ttl));
        let kind = match quirks.uri {
            UriForm::Blob => "b",
            UriForm::Container => "c",
            UriForm::Directory => "d",
            UriForm::Plain => "",
        };
        let mut marks = vec![("sv", "2024-11-04".to_owned()), ("sr", kind.to_owned())];
        let mut ends = end;
        if quirks.uri_stored_policy {
            marks.push(("si", "upload".to_owned()));
        } else {
            marks.push(("sp", quirks.uri_rights.clone()));
            marks.push(("se", times::signature_date(end)));
        }
        if let Some(ttl) = quirks.uri_key_ttl {
            let key_ends = times::whole_second(times::later(now, ttl));
            ends = ends.min(key_ends);
            marks.push(("skoid", session.to_owned()));
            marks.push(("ske", times::signature_date(key_ends)));
            marks.push(("skv", "2024-11-04".to_owned()));
        }
        if matches!(quirks.uri, UriForm::Directory) {
            marks.push(("sdd", "2".to_owned()));
        }
        marks.push(("sig", signature.to_owned()));
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&marks).finish();
        let mut marks: Vec<_> = marks.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        marks.sort();
        let grant = Self {
            session: session.to_owned(),
            place: Arc::clone(place),
            exact: matches!(quirks.uri, UriForm::Blob),
            rights: quirks.uri_rights.clone(),
            ends,
            marks,
        };
        (grant, query)
    }

    /// Returns when the signature ends.
    pub(in crate::sandbox) const fn ends(&self) -> DateTime<Utc> {
        self.ends
    }

    /// Returns whether it allows to write over what is committed.
    pub(in crate::sandbox) fn may_overwrite(&self) -> bool {
        self.rights.contains('w')
    }

    /// Returns the name of the blob a request is for, if the signature is its
    /// own, still holds, covers the path and gives one of the rights.
    pub(in crate::sandbox) fn admit(
        &self,
        path: &str,
        query: &[(String, String)],
        rights: &str,
        now: DateTime<Utc>,
    ) -> Result<String, Refusal> {
        let mut marks: Vec<_> = query.iter().filter(|(name, _)| !OPERATION.contains(&name.as_str())).cloned().collect();
        marks.sort();
        if marks != self.marks {
            return Err(refused("Signature did not match the string to sign."));
        }
        if now >= self.ends {
            return Err(Refusal { breach: false, ..refused("Signature not valid in the specified time frame.") });
        }
        let below = path.strip_prefix(&*self.place).ok_or_else(|| refused("Signature is for another resource."))?;
        let name = match (self.exact, below.strip_prefix('/')) {
            (true, None) if below.is_empty() => String::new(),
            (false, Some(name)) if !name.is_empty() => name.to_owned(),
            (true | false, _) => return Err(refused("Signature is for another resource.")),
        };
        if !self.rights.chars().any(|right| rights.contains(right)) {
            return Err(Refusal::breach(
                403,
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
            ));
        }
        Ok(name)
    }
}

/// Returns the refusal of a signature.
pub(in crate::sandbox) fn refused(detail: &str) -> Refusal {
    let message = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.";
    Refusal::breach(403, "AuthenticationFailed", format!("{message} {detail}"))
}

/// Returns the path of a session's place, the `moves`-th one.
pub(in crate::sandbox) fn place_of(session: &str, moves: usize, token: &str, quirks: &Quirks) -> Arc<str> {
    let container = if moves == 0 { "edm".to_owned() } else { format!("edm-{}", moves + 1) };
    match quirks.uri {
        UriForm::Blob => format!("/blobs/{container}/{session}/data.EdmHash").into(),
        UriForm::Container | UriForm::Directory => format!("/blobs/{container}/{session}").into(),
        // Without a signature the address itself is the secret.
        UriForm::Plain => format!("/blobs/{container}/{session}/{token}/data.EdmHash").into(),
    }
}
