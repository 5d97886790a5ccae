//! Quirks: how the service may differ from what one would expect of it.
//!
//! Each answers a question the public contract leaves open, so that a client's
//! setting for the other answer can be tried. They are data, the `[quirks]`
//! table of a script; `docs/SANDBOX.md` lists them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::ground::units;

/// Declares an enumeration of quirks, written in kebab case in a script.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

choice! {
    /// What a session is wrapped in.
    Envelope {
        /// The object itself.
        #[default] Bare,
        /// Inside `{"value": …}`.
        Value,
        /// `null`, with status 200 (only where a renewal is answered).
        Null,
        /// No body, with status 200 (only where a renewal is answered).
        Empty,
        /// Status 204 (only where a renewal is answered).
        NoContent,
    }
}
choice! {
    /// How the id of a session's data store is spelled.
    StoreIdSpelling {
        /// `dataStoreId`, since 2021.
        #[default] DataStoreId,
        /// `datastoreId`, as before.
        DatastoreId,
    }
}
choice! {
    /// How the inner error of an error body is spelled.
    ErrorSpelling {
        /// `innerError` with `date` and `request-id`.
        #[default] InnerError,
        /// `innererror` with `Date` and `requestId`.
        Innererror,
    }
}
choice! {
    /// Which form of an action's address is known.
    ActionForm {
        /// `…/renew` and `…/microsoft.graph.renew`.
        #[default] Both,
        /// Only `…/renew`.
        Short,
        /// Only `…/microsoft.graph.renew`.
        Qualified,
    }
}
choice! {
    /// What is asked of something a client may send.
    Wanted {
        /// With or without.
        #[default] Any,
        /// Refused without.
        Required,
        /// Refused with.
        Refused,
    }
}
choice! {
    /// What a session's `checksum` is taken to be.
    ChecksumForm {
        /// SHA-256 of the committed bytes, lower hex.
        #[default] Sha256Hex,
        /// SHA-256 in base64.
        Sha256Base64,
        /// MD5, lower hex.
        Md5Hex,
        /// MD5 in base64.
        Md5Base64,
        /// SHA-512, lower hex.
        Sha512Hex,
        /// SHA-512 in base64.
        Sha512Base64,
        /// Anything; it is not checked.
        Any,
    }
}
choice! {
    /// What values a lookup takes.
    LookupTakes {
        /// The salted SHA-256 of the normalised value, lower hex.
        #[default] Hashes,
        /// The normalised value; the service hashes it with the session's salt.
        Clear,
    }
}
choice! {
    /// What the upload URI of a session points at.
    UriForm {
        /// One blob (`sr=b`).
        #[default] Blob,
        /// A container (`sr=c`).
        Container,
        /// A directory (`sr=d`).
        Directory,
        /// An address without a signature.
        Plain,
    }
}
choice! {
    /// What a renewal does to the upload URI.
    RenewedUri {
        /// The same place under a new signature.
        #[default] Fresh,
        /// Nothing: the old URI is answered.
        Same,
        /// The answer has no upload URI.
        Missing,
    }
}
choice! {
    /// Which integrity header a block must carry.
    Integrity {
        /// None is required; what is sent is checked.
        #[default] Any,
        /// `Content-MD5`.
        Md5,
        /// `x-ms-content-crc64`.
        Crc64,
    }
}

choice! {
    /// How a token's life is told.
    ExpiresIn {
        /// As each endpoint does: the authority `expires_in` as a number, IMDS and
        /// Arc `expires_in` and `expires_on` as texts, App Service `expires_on`.
        #[default] Usual,
        /// `expires_in` as a number.
        Number,
        /// `expires_in` as a text.
        Text,
        /// `expires_in` as a number with a fraction.
        Fraction,
        /// Not at all.
        Missing,
        /// `expires_in` is 0.
        Zero,
        /// `expires_in` is -1.
        Negative,
        /// `expires_in` is the largest number of 64 bits.
        Huge,
        /// `expires_in` is a word.
        Nonsense,
        /// Only `expires_on`, as a text.
        ExpiresOn,
    }
}

/// The service's words for where a session stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// Before the client has said one.
    pub created: String,
    /// After a commit.
    pub processing: String,
    /// Once the table is live.
    pub completed: String,
    /// If it will never be.
    pub failed: String,
    /// After a cancel.
    pub cancelled: String,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            created: "Created".to_owned(),
            processing: "ProcessingInProgress".to_owned(),
            completed: "Completed".to_owned(),
            failed: "Failed".to_owned(),
            cancelled: "Cancelled".to_owned(),
        }
    }
}

/// A difference between two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offset {
    /// None.
    #[default]
    None,
    /// The service's clock is ahead of the sandbox's host by this.
    Ahead(Duration),
    /// The service's clock is behind by this.
    Behind(Duration),
}

/// The quirks of a sandbox; the defaults are a service as a client hopes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// The only version segment known, such as `v1.0`; any if none.
    pub version: Option<String>,
    /// What a created, read or changed session is wrapped in.
    pub envelope: Envelope,
    /// What a renewed session is wrapped in.
    pub renew_answer: Envelope,
    /// The spelling of the data store's id, in answers and in requests.
    pub datastore_id: StoreIdSpelling,
    /// Whether a created session must name its data store in the body.
    pub require_datastore_id: bool,
    /// The spelling of the inner error.
    pub error_spelling: ErrorSpelling,
    /// The form of the addresses of actions.
    pub action_form: ActionForm,
    /// Whether bodies must carry `@odata.type`.
    pub require_odata_type: bool,
    /// Whether a POST without a body must carry a content type.
    pub bodiless_content_type: Wanted,
    /// Properties without which a session is not created.
    pub required_on_create: Vec<String>,
    /// Properties with which a session is not created.
    pub refused_on_create: Vec<String>,
    /// Whether a session's fields must be columns of its data store.
    pub strict_fields: bool,
    /// The words a report may carry as `state`; any if none.
    pub accepted_states: Option<Vec<String>>,
    /// The status every report is refused with.
    pub refuse_reports: Option<u16>,
    /// The service's own words.
    pub words: Words,
    /// Items on a page of a list; all if none.
    pub page_size: Option<usize>,
    /// Where `@odata.nextLink` leads instead of the sandbox itself.
    pub next_link_origin: Option<String>,
    /// Whether `$filter` is known.
    pub filter: bool,
    /// Whether a session's upload agent comes inside a list.
    pub upload_agent_list: bool,
    /// Whether sessions carry `@odata.etag` and `If-Match` is honoured.
    pub etags: bool,
    /// Whether answers carry properties nobody has heard of.
    pub extra_properties: bool,
    /// Fractional digits of times, 0 to 9.
    pub time_digits: u8,
    /// The zone of times, in minutes east of UTC.
    pub time_zone_minutes: i32,
    /// How far the service's clock is off: `+5m`, `-90s`.
    #[serde(deserialize_with = "offset")]
    pub clock_offset: Offset,
    /// Whether answers lack `Date`.
    pub no_date: bool,
    /// What a session's checksum is.
    pub checksum: ChecksumForm,
    /// What values a lookup takes.
    pub lookup_takes: LookupTakes,
    /// The status of a refused session creation.
    pub quota_status: u16,
    /// Sessions a data store may open in 24 hours, over the setting.
    pub sessions_per_day: Option<u32>,
    /// The scope the token endpoint grants; any if none.
    pub token_scope: Option<String>,
    /// How long a token is good for, over the setting.
    #[serde(deserialize_with = "some_duration")]
    pub token_ttl: Option<Duration>,
    /// How a token's life is told.
    pub expires_in: ExpiresIn,
    /// Whether the API demands from the start that tokens answer a claims
    /// challenge.
    pub claims_challenge: bool,
    /// The `realm` of the Arc challenge instead of the key that was written.
    pub arc_realm: Option<String>,
    /// Bytes of an Arc key, instead of a few dozen.
    #[serde(deserialize_with = "some_size")]
    pub arc_key_size: Option<u64>,
    /// Whether TLS offers HTTP/1.1 only.
    pub no_http2: bool,
    /// Bytes per second of the blob endpoint, over the setting.
    #[serde(deserialize_with = "some_size")]
    pub bandwidth: Option<u64>,
    /// What the upload URI points at.
    pub uri: UriForm,
    /// Where the upload URI leads instead of the sandbox itself: its scheme and
    /// host.
    pub uri_origin: Option<String>,
    /// The rights of the upload URI.
    pub uri_rights: String,
    /// How long the key of the signature is good for (`ske`), if it has one.
    #[serde(deserialize_with = "some_duration")]
    pub uri_key_ttl: Option<Duration>,
    /// Whether the URI names a stored policy and says neither rights nor end.
    pub uri_stored_policy: bool,
    /// What a renewal does to the upload URI.
    pub renewed_uri: RenewedUri,
    /// The renewals, counted from 1, after which the URI leads elsewhere.
    pub uri_moves_at_renewals: Vec<u32>,
    /// Whether `x-ms-content-crc64` is not implemented, as in Azurite.
    pub no_crc64: bool,
    /// The integrity header a block must carry.
    pub integrity: Integrity,
    /// The only `x-ms-version` known; any if none.
    pub ms_version: Option<String>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            version: None,
            envelope: Envelope::Bare,
            renew_answer: Envelope::Bare,
            datastore_id: StoreIdSpelling::DataStoreId,
            require_datastore_id: false,
            error_spelling: ErrorSpelling::InnerError,
            action_form: ActionForm::Both,
            require_odata_type: false,
            bodiless_content_type: Wanted::Any,
            required_on_create: Vec::new(),
            refused_on_create: Vec::new(),
            strict_fields: false,
            accepted_states: None,
            refuse_reports: None,
            words: Words::default(),
            page_size: None,
            next_link_origin: None,
            filter: false,
            upload_agent_list: false,
            etags: false,
            extra_properties: false,
            time_digits: 7,
            time_zone_minutes: 0,
            clock_offset: Offset::None,
            no_date: false,
            checksum: ChecksumForm::Sha256Hex,
            lookup_takes: LookupTakes::Hashes,
            quota_status: 429,
            sessions_per_day: None,
            token_scope: None,
            token_ttl: None,
            expires_in: ExpiresIn::Usual,
            claims_challenge: false,
            arc_realm: None,
            arc_key_size: None,
            no_http2: false,
            bandwidth: None,
            uri: UriForm::Blob,
            uri_origin: None,
            uri_rights: "rcw".to_owned(),
            uri_key_ttl: None,
            uri_stored_policy: false,
            renewed_uri: RenewedUri::Fresh,
            uri_moves_at_renewals: Vec::new(),
            no_crc64: false,
            integrity: Integrity::Any,
            ms_version: None,
        }
    }
}

fn offset<'de, D: Deserializer<'de>>(input: D) -> Result<Offset, D::Error> {
    let text = String::deserialize(input)?;
    let span = |digits: &str| units::parse_duration(digits).map_err(serde::de::Error::custom);
    match text.split_at_checked(1) {
        Some(("+", digits)) => span(digits).map(Offset::Ahead),
        Some(("-", digits)) => span(digits).map(Offset::Behind),
        _ => Err(serde::de::Error::custom("a clock offset begins with + (ahead) or - (behind), such as +5m or -90s")),
    }
}

/// Reads a duration that is there.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    units::duration(input).map(Some)
}

/// Reads a size that is there.
fn some_size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    units::size(input).map(Some)
}
