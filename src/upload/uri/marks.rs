//! The marks of a shared access signature in the query of an upload URI.
//!
//! Azure Storage, "Create a service SAS", "Create a user delegation SAS" and
//! "Create an account SAS". The signature itself cannot be checked here. That
//! it is whole can be, and one that is not would only be refused by the store,
//! block by block. A query with none of the marks is no signature at all.

use chrono::{DateTime, Utc};
use url::form_urlencoded;

use super::UriKind;
use super::refused::Flaw;

/// The parameters that belong to a signature. Stores ignore the case of names.
const MARKS: [&str; 20] = [
    "sig", "sv", "sr", "ss", "srt", "sp", "st", "se", "si", "sip", "spr", "sdd", "ses", "skoid", "sktid", "skt", "ske",
    "sks", "skv", "saoid",
];

/// The longest text that is looked at as a date.
const LONGEST_DATE: usize = 40;

/// What the marks of an upload URI say.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    pub(super) kind: UriKind,
    pub(super) starts: Option<DateTime<Utc>>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) may_read: bool,
    pub(super) version: Option<String>,
}

impl Marks {
    /// Reads a query: no marks, or a whole signature.
    pub(super) fn read(query: &str) -> Result<Self, Flaw> {
        let Some(found) = Found::in_query(query)? else {
            return Ok(Self { kind: UriKind::Plain, starts: None, expires: None, may_read: false, version: None });
        };
        if found.value("sig").is_none_or(str::is_empty) {
            return Err(Flaw::Unsigned);
        }
        let kind = found.kind()?;
        let has_policy = found.value("si").is_some_and(|policy| !policy.is_empty());
        let rights = found.value("sp");
        if !rights.map_or(has_policy, |rights| rights.contains(['w', 'c'])) {
            return Err(Flaw::Rights);
        }
        if !has_policy && found.value("se").is_none() {
            return Err(Flaw::Endless);
        }
        let protocols = found.value("spr").map(|value| value.split(',').collect::<Vec<_>>());
        if protocols.is_some_and(|protocols| !protocols.contains(&"https")) {
            return Err(Flaw::Protocol);
        }
        let ends = [found.date("se")?, found.date("ske")?];
        Ok(Self {
            kind,
            starts: found.date("st")?.max(found.date("skt")?),
            expires: ends.into_iter().flatten().min(),
            may_read: rights.is_some_and(|rights| rights.contains('r')),
            version: found.value("sv").map(str::to_owned),
        })
    }
}

/// The marks of a query, each once.
struct Found(Vec<(&'static str, String)>);

impl Found {
    fn in_query(query: &str) -> Result<Option<Self>, Flaw> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(mark) = MARKS.into_iter().find(|mark| name.eq_ignore_ascii_case(mark)) else { continue };
            if found.iter().any(|(other, _)| *other == mark) {
                return Err(Flaw::Twice(mark));
            }
            // What the signature is does not matter, and it is not copied about.
            let value = if mark == "sig" && !value.is_empty() { "there".to_owned() } else { value.into_owned() };
            found.push((mark, value));
        }
        Ok((!found.is_empty()).then_some(Self(found)))
    }

    fn value(&self, mark: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == mark).map(|(_, value)| value.as_str())
    }

    fn kind(&self) -> Result<UriKind, Flaw> {
        match (self.value("sr"), self.value("ss"), self.value("srt")) {
            (Some("b" | "bs" | "bv"), _, _) => Ok(UriKind::Blob),
            (Some("c" | "d"), _, _) => Ok(UriKind::Container),
            // An account's signature does not say what the path is: a blob,
            // as everywhere else that nothing says otherwise.
            (None, Some(services), Some(types)) if services.contains('b') && types.contains('o') => Ok(UriKind::Blob),
            _ => Err(Flaw::Kind),
        }
    }

    fn date(&self, mark: &'static str) -> Result<Option<DateTime<Utc>>, Flaw> {
        self.value(mark).map(|text| read_date(text).ok_or(Flaw::Date(mark))).transpose()
    }
}

/// Reads the date forms a signature may carry: a date and a time with or
/// without seconds and a zone, or a bare date. Without a zone it is UTC.
fn read_date(text: &str) -> Option<DateTime<Utc>> {
    if text.len() > LONGEST_DATE {
        return None;
    }
    // A plus sign that nobody encoded is read as a blank.
    let text = text.replace(' ', "+");
    let minutes = text.get(..16).zip(text.get(16..)).map(|(minutes, zone)| format!("{minutes}:00{zone}"));
    let forms = [Some(text.clone()), minutes].into_iter().flatten();
    let zoned = forms.flat_map(|form| [form.clone(), format!("{form}Z")]).chain([format!("{text}T00:00:00Z")]);
    zoned.filter_map(|form| DateTime::parse_from_rfc3339(&form).ok()).map(|date| date.to_utc()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "sv=2024-11-04&sr=b&sp=rcw&se=2026-01-01T10:00:00Z&sig=abc%3D";

    fn date(text: &str) -> Option<String> {
        read_date(text).map(|date| date.to_rfc3339())
    }

    #[test]
    fn every_form_of_date_is_read_as_utc_or_not_at_all() {
        for (text, expected) in [
            ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00+00:00"),
            ("2026-01-01T10:00:00.1234567Z", "2026-01-01T10:00:00.123456700+00:00"),
            ("2026-01-01T10:00Z", "2026-01-01T10:00:00+00:00"),
            ("2026-01-01T10:00+02:00", "2026-01-01T08:00:00+00:00"),
            ("2026-01-01T10:00:00 02:00", "2026-01-01T08:00:00+00:00"),
            ("2026-01-01T10:00:00", "2026-01-01T10:00:00+00:00"),
            ("2026-01-01T10:00", "2026-01-01T10:00:00+00:00"),
            ("2026-01-01", "2026-01-01T00:00:00+00:00"),
            ("2038-01-19T03:14:08Z", "2038-01-19T03:14:08+00:00"),
            ("9999-12-31T23:59:59-23:59", "+10000-01-01T23:58:59+00:00"),
            ("0000-01-01T00:00:00+23:59", "-0001-12-31T00:01:00+00:00"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60+00:00"),
        ] {
            assert_eq!(date(text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "soon", "2026-02-30", "2026-13-01T00:00Z", "2026-01-01T24:00:00Z", "01/02/2026", "ä026-01-01T10:00Z"]
        {
            assert_eq!(date(text), None, "{text}");
        }
        assert_eq!(date(&format!("2026-01-01T10:00:00.{}Z", "0".repeat(100))), None, "too long");
    }

    #[test]
    fn what_is_not_whole_is_refused_for_what_is_missing() {
        for (query, flaw) in [
            ("sr=b&sp=w&se=2026-01-01", Flaw::Unsigned),
            ("sr=b&sp=w&se=2026-01-01&sig=", Flaw::Unsigned),
            ("skoid=1", Flaw::Unsigned),
            ("sv=2024-11-04", Flaw::Unsigned),
            ("sig=x", Flaw::Kind),
            ("sp=w&se=2026-01-01&sig=x", Flaw::Kind),
            ("sr=q&sp=w&se=2026-01-01&sig=x", Flaw::Kind),
            ("ss=f&srt=o&sp=w&se=2026-01-01&sig=x", Flaw::Kind),
            ("ss=b&srt=c&sp=w&se=2026-01-01&sig=x", Flaw::Kind),
            ("ss=b&sp=w&se=2026-01-01&sig=x", Flaw::Kind),
            ("sr=b&se=2026-01-01&sig=x", Flaw::Rights),
            ("sr=b&sp=rl&se=2026-01-01&sig=x", Flaw::Rights),
            ("sr=b&sp=rl&si=policy&sig=x", Flaw::Rights),
            ("sr=b&si=&se=2026-01-01&sig=x", Flaw::Rights),
            ("sr=b&sp=w&sig=x", Flaw::Endless),
            ("sr=b&sp=w&se=&sig=x", Flaw::Date("se")),
            ("sr=b&si=policy&se=soon&sig=x", Flaw::Date("se")),
            ("sr=b&sp=w&se=2026-01-01&ske=soon&sig=x", Flaw::Date("ske")),
            ("sr=b&sp=w&se=2026-01-01&st=soon&sig=x", Flaw::Date("st")),
            ("sr=b&sp=w&se=2026-01-01&spr=http&sig=x", Flaw::Protocol),
            ("sr=b&sp=w&se=2026-01-01&spr=&sig=x", Flaw::Protocol),
            ("sr=b&sp=w&se=2026-01-01&sig=x&sig=y", Flaw::Twice("sig")),
            ("sr=b&sp=w&se=2026-01-01&sig=x&Se=2030-01-01", Flaw::Twice("se")),
            ("sr=b&s%70=r&sp=w&se=2026-01-01&sig=x", Flaw::Twice("sp")),
        ] {
            assert_eq!(Marks::read(query).unwrap_err(), flaw, "{query}");
        }
    }

    #[test]
    fn every_whole_signature_is_read() {
        let read = |query: &str| Marks::read(query).unwrap_or_else(|flaw| panic!("{query}: {flaw}"));
        assert_eq!(read(WHOLE).kind, UriKind::Blob);
        assert_eq!(read(&format!("{WHOLE}&spr=https&sip=10.0.0.1")).version.as_deref(), Some("2024-11-04"));
        assert!(read(&format!("{WHOLE}&spr=https,http")).may_read);
        assert_eq!(read("ss=bf&srt=sco&sp=rwdlac&se=2026-01-01&sig=x").kind, UriKind::Blob);
        for kind in ["c", "d"] {
            let marks = read(&format!("sr={kind}&si=policy&sig=x"));
            assert_eq!((marks.kind, marks.expires, marks.may_read), (UriKind::Container, None, false));
        }
        for query in ["", "token=abc", "&&=&"] {
            assert_eq!(read(query).kind, UriKind::Plain, "{query}");
        }
    }

    #[test]
    fn a_key_bounds_the_signature_it_made_at_both_ends() {
        let marks =
            Marks::read(&format!("{WHOLE}&st=2026-01-01T08:00Z&skt=2026-01-01T09:00Z&ske=2026-01-01T09:30Z")).unwrap();
        assert_eq!(marks.starts.unwrap().to_rfc3339(), "2026-01-01T09:00:00+00:00");
        assert_eq!(marks.expires.unwrap().to_rfc3339(), "2026-01-01T09:30:00+00:00");
    }
}
