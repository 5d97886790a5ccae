//! Why an upload URI is not used, for people: each message names the host at
//! most, never a path or a value of the query, and says what to do.

/// Why an upload URI is not used. The host is the one a request would go to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriRefused {
    /// It is not absolute, not plain ASCII, or far too long.
    #[error(
        "the upload URI of the session cannot be read: it must be absolute, of at most 8 KiB, and in ASCII without blanks \
         and backslashes; ask whoever runs the service"
    )]
    Unreadable,
    /// It carries a user name, a password or a fragment.
    #[error(
        "the upload URI of {0} carries a user name or a fragment, which none should: \
         find out who alters the service's answers"
    )]
    Decorated(String),
    /// Its host or port is not written the way it is read.
    #[error(
        "the upload URI writes {0} in another form than a host and a port have: \
         find out who alters the service's answers"
    )]
    Disguised(String),
    /// Its path leads upwards.
    #[error("the upload URI of {0} has a path with `.` or `..` in it: ask whoever runs the service")]
    Winding(String),
    /// It is neither https nor plain http to a loopback host.
    #[error("the upload URI names {0} without TLS: only loopback hosts in upload.allowed_hosts may do so")]
    NotEncrypted(String),
    /// Its host is an address instead of a name.
    #[error(
        "the upload URI names the address {0} instead of a host: only loopback addresses in upload.allowed_hosts may be used"
    )]
    Address(String),
    /// Its host is not in `upload.allowed_hosts`.
    #[error("the upload URI names the host {0}: add it to upload.allowed_hosts if it is yours")]
    HostNotAllowed(String),
    /// Its host is allowed, but at another port.
    #[error("the upload URI names port {port} of {host}: add {host}:{port} to upload.allowed_hosts if it is yours")]
    PortNotAllowed {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// Its signature is not whole.
    #[error("the upload URI of {host} is not signed as it must be: {flaw}; ask whoever runs the service")]
    Signature {
        /// The host.
        host: String,
        /// What is wrong.
        flaw: Flaw,
    },
}

/// What is wrong with a signature. Marks are named, their values never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A mark is there twice, so the store may read another than we do.
    #[error("it has the mark {0} more than once")]
    Twice(&'static str),
    /// There are marks of a signature, but none.
    #[error("it has marks of a signature and no sig")]
    Unsigned,
    /// Nothing says that it is for a blob, a container or a directory.
    #[error("it is for no blob, container or directory by its mark sr, nor for blobs by ss and srt")]
    Kind,
    /// It gives no right to write.
    #[error("its mark sp gives neither the right w nor c")]
    Rights,
    /// It names neither an end nor a policy that does.
    #[error("it has no end, se, and names no stored policy, si")]
    Endless,
    /// A date cannot be read.
    #[error("its mark {0} is no date")]
    Date(&'static str),
    /// It is not for https.
    #[error("its mark spr does not allow https")]
    Protocol,
}
