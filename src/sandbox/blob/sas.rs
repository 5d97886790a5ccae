//! Shared access signatures: what the sandbox signed, and whether a request
//! stays within it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use url::form_urlencoded;

use crate::sandbox::quirks::{Quirks, UriForm};
use crate::sandbox::reply::Refusal;
use crate::sandbox::times;

/// What a signature was given for.
pub(in crate::sandbox) struct Grant {
    /// The session whose blocks it takes.
    pub(in crate::sandbox) session: String,
    /// The path it leads to, without a slash at the end.
    pub(in crate::sandbox) place: Arc<str>,
    /// The one blob it leads to, or all of the place. The empty name is the
    /// place itself.
    only: Option<String>,
    rights: String,
    ends: DateTime<Utc>,
    marks: Vec<(String, String)>,
}

/// What a signature is to be given for: a place or one blob of it, and for how
/// long.
pub(in crate::sandbox) struct Scope<'a> {
    pub(in crate::sandbox) session: &'a str,
    pub(in crate::sandbox) place: &'a Arc<str>,
    /// The one blob; the empty name is the place itself.
    pub(in crate::sandbox) only: Option<&'a str>,
    /// Whether the place is called a directory, which changes nothing else.
    pub(in crate::sandbox) directory: bool,
    pub(in crate::sandbox) rights: &'a str,
    pub(in crate::sandbox) ends: DateTime<Utc>,
    /// When the key it is made with ends, if it names one.
    pub(in crate::sandbox) key_ends: Option<DateTime<Utc>>,
    /// Whether a policy kept elsewhere says rights and end, and the URI does not.
    pub(in crate::sandbox) policy: bool,
}

/// Query parameters that are the operation's and not the signature's.
const OPERATION: &[&str] = &["comp", "blockid", "blocklisttype", "timeout"];

impl Grant {
    /// Signs, and returns the path and query of the URI with it.
    pub(in crate::sandbox) fn sign(scope: &Scope<'_>, signature: &str) -> (Self, String) {
        let kind = match (scope.only, scope.directory) {
            (Some(_), _) => "b",
            (None, true) => "d",
            (None, false) => "c",
        };
        let mut marks = vec![("sv", "2024-11-04".to_owned()), ("sr", kind.to_owned())];
        if scope.policy {
            marks.push(("si", "upload".to_owned()));
        } else {
            marks.push(("sp", scope.rights.to_owned()));
            marks.push(("se", times::signature_date(scope.ends)));
        }
        if let Some(key_ends) = scope.key_ends {
            marks.push(("skoid", scope.session.to_owned()));
            marks.push(("ske", times::signature_date(key_ends)));
            marks.push(("skv", "2024-11-04".to_owned()));
        }
        if kind == "d" {
            marks.push(("sdd", "2".to_owned()));
        }
        marks.push(("sig", signature.to_owned()));
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&marks).finish();
        let mut marks: Vec<_> = marks.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        marks.sort();
        let grant = Self {
            session: scope.session.to_owned(),
            place: Arc::clone(scope.place),
            only: scope.only.map(str::to_owned),
            rights: scope.rights.to_owned(),
            ends: scope.key_ends.map_or(scope.ends, |key_ends| scope.ends.min(key_ends)),
            marks,
        };
        let below = scope.only.filter(|name| !name.is_empty()).map(|name| format!("/{name}"));
        (grant, format!("{}{}?{query}", scope.place, below.unwrap_or_default()))
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
        let name = if below.is_empty() { Some("") } else { below.strip_prefix('/').filter(|name| !name.is_empty()) };
        let covered = |name: &&str| self.only.as_ref().map_or(!name.is_empty(), |only| only == name);
        let name = name.filter(covered).ok_or_else(|| refused("Signature is for another resource."))?.to_owned();
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
