//! The hosts data may go to: a pattern of `upload.allowed_hosts`.
//!
//! A pattern is a full name, a loopback address, or a star for the name of a
//! storage account before a suffix. Names are compared without regard to case,
//! at dots only, and as they are written: nothing is resolved or decoded here.

// Of `core`, where addresses are all there is of the net.
use core::net::{Ipv4Addr, Ipv6Addr};

/// The port of https, the only one a pattern allows by itself.
const HTTPS: u16 = 443;

/// How long the name of a storage account is (Azure Storage, "Storage account
/// overview").
const ACCOUNT: std::ops::RangeInclusive<usize> = 3..=24;

/// How long a host name and one label of it may be (RFC 1035, 2.3.4).
const NAME: usize = 253;
const LABEL: usize = 63;

/// A pattern of `upload.allowed_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    form: Form,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// One name or loopback address, in lower case.
    Exact(String),
    /// Every storage account of a suffix, which is in lower case and without
    /// its dot.
    Accounts(String),
}

/// Why a pattern is none. The messages go on after "it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternRefused {
    /// It is an address of the web.
    #[error("must be a host alone, without a scheme, a user and a path")]
    NotHost,
    /// The star stands where none may.
    #[error("may have one star, as its whole first label and before two labels at least: *.blob.core.windows.net")]
    Star,
    /// A star goes with a port.
    #[error("must not have both a star and a port: write the full name of the host")]
    StarWithPort,
    /// The port is no port.
    #[error("must have a port from 1 to 65535 behind its colon, or none")]
    Port,
    /// It is an address of another host.
    #[error("must name a host, or a loopback address as it is usually written: 127.0.0.1 or [::1]")]
    Address,
    /// It is no name.
    #[error("must be a host name: letters, digits, hyphens and dots, other scripts as xn--, no dot at the end")]
    Name,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Says what a pattern must be.
    pub fn parse(text: &str) -> Result<Self, PatternRefused> {
        if text.contains(['/', '@', '?', '#', '\\']) {
            return Err(PatternRefused::NotHost);
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(PatternRefused::Address);
        }
        let (host, port) = split_port(text).ok_or(PatternRefused::Port)?;
        let host = host.to_ascii_lowercase();
        if let Some(suffix) = host.strip_prefix("*.") {
            return match is_name(suffix) && suffix.contains('.') {
                false => Err(PatternRefused::Star),
                true if port.is_some() => Err(PatternRefused::StarWithPort),
                true => Ok(Self { form: Form::Accounts(suffix.to_owned()), port: None }),
            };
        }
        if host.contains('*') {
            return Err(PatternRefused::Star);
        }
        let looks_numeric = host.starts_with('[') || ends_in_number(&host);
        if looks_numeric && !is_loopback(&host) {
            return Err(PatternRefused::Address);
        }
        if !is_loopback(&host) && !is_name(&host) {
            return Err(PatternRefused::Name);
        }
        Ok(Self { form: Form::Exact(host), port })
    }

    /// Returns whether it names this host alone.
    pub fn is_loopback(&self) -> bool {
        self.this_host().is_some()
    }

    /// Returns the name or address, if it names this host alone.
    pub fn this_host(&self) -> Option<&str> {
        match &self.form {
            Form::Exact(host) => Some(host.as_str()).filter(|host| is_loopback(host)),
            Form::Accounts(_) => None,
        }
    }

    /// Returns whether it covers a host, in lower case and with the brackets
    /// of an IPv6 address.
    pub(super) fn covers(&self, host: &str) -> bool {
        match &self.form {
            Form::Exact(name) => name == host,
            Form::Accounts(suffix) => {
                let labels = host.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
                labels.is_some_and(is_account)
            }
        }
    }

    /// Returns whether it covers a port of its hosts.
    pub(super) fn covers_port(&self, port: u16) -> bool {
        match self.port {
            Some(named) => port == named,
            None => port == HTTPS || self.is_loopback(),
        }
    }
}

/// Returns whether a host, in lower case, is this one, by its usual spelling.
pub(super) fn is_loopback(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inside == "::1";
    }
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Returns whether a host, in lower case, is a name a resolver would be asked
/// for, and would be read as a name by everybody.
pub(super) fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=LABEL).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= NAME && host.split('.').all(is_label) && !ends_in_number(host)
}

/// Returns whether a host ends as only numbers do, which some read as an
/// address: `127.1`, `0x7f.0.0.1`, `2130706433`.
fn ends_in_number(host: &str) -> bool {
    host.rsplit('.').next().is_some_and(|label| label.starts_with(|first: char| first.is_ascii_digit()))
}

/// Splits a host from its port, if it has one; `None` if what stands behind
/// the colon is no port as it is usually written.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let name_ends = if text.starts_with('[') { text.find(']').map_or(text.len(), |at| at + 1) } else { 0 };
    let Some(colon) = text[name_ends..].rfind(':').map(|at| at + name_ends) else { return Some((text, None)) };
    let digits = &text[colon + 1..];
    let port: u16 = digits.parse().ok()?;
    (port != 0 && port.to_string() == digits).then_some((&text[..colon], Some(port)))
}

/// Returns whether labels are those of a storage account: its name, and its
/// zone where it has one (`z` and one or two digits).
fn is_account(labels: &str) -> bool {
    let (name, zone) = labels.split_once('.').map_or((labels, None), |(name, zone)| (name, Some(zone)));
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_zone = |zone: &str| {
        let digits = zone.strip_prefix('z').unwrap_or_default();
        (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    ACCOUNT.contains(&name.len()) && name.bytes().all(is_plain) && zone.is_none_or(is_zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).unwrap().covers(host)
    }

    #[test]
    fn a_star_stands_for_one_account_and_its_zone_only() {
        let azure = "*.Blob.Core.Windows.NET";
        for host in ["acct", "abc", "3com4", "acct.z1", "acct.z42", &"a".repeat(24)] {
            assert!(covers(azure, &format!("{host}.blob.core.windows.net")), "{host}");
        }
        for host in
            ["", "ab", &"a".repeat(25), "my-acct", "a_b_c", "acct.z", "acct.z123", "acct.y1", "z1.acct", "a.b.c"]
        {
            assert!(!covers(azure, &format!("{host}.blob.core.windows.net")), "{host}");
        }
        for host in ["blob.core.windows.net", "acctblob.core.windows.net", "acct.blob.core.windows.net.evil.test"] {
            assert!(!covers(azure, host), "{host}");
        }
    }

    #[test]
    fn a_port_is_that_of_https_unless_one_is_named_or_the_host_is_this_one() {
        let ports = |pattern: &str| {
            let pattern = HostPattern::parse(pattern).unwrap();
            [80, 443, 8_443].map(|port| pattern.covers_port(port))
        };
        assert_eq!(ports("*.blob.core.windows.net"), [false, true, false]);
        assert_eq!(ports("store.example.org"), [false, true, false]);
        assert_eq!(ports("store.example.org:8443"), [false, false, true]);
        assert_eq!(ports("[::1]"), [true, true, true]);
        assert_eq!(ports("localhost:80"), [true, false, false]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_for_what_it_is() {
        let refused = [
            ("https://acct.blob.core.windows.net", PatternRefused::NotHost),
            ("store.example.org/path", PatternRefused::NotHost),
            ("user@store.example.org", PatternRefused::NotHost),
            ("*", PatternRefused::Star),
            ("*.com", PatternRefused::Star),
            ("*.", PatternRefused::Star),
            ("*.*.windows.net", PatternRefused::Star),
            ("blob.*.windows.net", PatternRefused::Star),
            ("a*.blob.core.windows.net", PatternRefused::Star),
            ("*.0.0.1", PatternRefused::Star),
            ("*.blob.core.windows.net:443", PatternRefused::StarWithPort),
            ("store.example.org:", PatternRefused::Port),
            ("store.example.org:0", PatternRefused::Port),
            ("store.example.org:0443", PatternRefused::Port),
            ("store.example.org:65536", PatternRefused::Port),
            ("[::1]:x", PatternRefused::Port),
            ("10.0.0.1", PatternRefused::Address),
            ("169.254.169.254", PatternRefused::Address),
            ("127.1", PatternRefused::Address),
            ("2130706433", PatternRefused::Address),
            ("[fd00::1]", PatternRefused::Address),
            ("::1", PatternRefused::Address),
            ("[0:0:0:0:0:0:0:1]", PatternRefused::Address),
            ("[::1", PatternRefused::Address),
            ("[::1]x", PatternRefused::Address),
            ("", PatternRefused::Name),
            (".example.org", PatternRefused::Name),
            ("store..example.org", PatternRefused::Name),
            ("store.example.org.", PatternRefused::Name),
            ("-store.example.org", PatternRefused::Name),
            ("sto%72e.example.org", PatternRefused::Name),
            ("störe.example.org", PatternRefused::Name),
            ("a store.example.org", PatternRefused::Name),
        ];
        for (text, expected) in refused {
            assert_eq!(HostPattern::parse(text), Err(expected), "{text}");
        }
        for text in
            ["store.example.org", "STORE", "xn--bcher-kva.example:8443", "127.0.0.2", "[::1]:10000", "localhost"]
        {
            assert!(HostPattern::parse(text).is_ok(), "{text}");
        }
    }
}
