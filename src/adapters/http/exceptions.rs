//! What is reached without a proxy: the entries of `NO_PROXY`.
//!
//! No standard says how they are written, so what the common programs agree on
//! is read: a name (with everything below it, with or without a leading dot or
//! `*.`), an address, a range of addresses (`10.0.0.0/8`), each optionally with
//! a port, and `*` for everything. What cannot be read excepts nothing.

use std::net::IpAddr;

use reqwest::Url;

/// Hosts that are reached directly.
#[derive(Debug, Clone, Default)]
pub(super) struct Exceptions(Vec<(What, Option<u16>)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Everything,
    Range(IpAddr, u8),
    Domain(String),
}

impl Exceptions {
    /// Reads a list, separated by commas.
    pub(super) fn read(list: &str) -> Self {
        Self(list.split(',').filter_map(|entry| read(entry.trim())).collect())
    }

    /// Returns whether an address is reached directly.
    pub(super) fn cover(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let address: Option<IpAddr> = bare.parse().ok();
        self.0.iter().any(|(what, port)| {
            let here = match what {
                What::Everything => true,
                What::Range(start, bits) => address.is_some_and(|address| is_within(address, *start, *bits)),
                What::Domain(name) => address.is_none() && is_below(bare, name),
            };
            here && port.is_none_or(|port| url.port_or_known_default() == Some(port))
        })
    }
}

fn read(entry: &str) -> Option<(What, Option<u16>)> {
    if entry == "*" {
        return Some((What::Everything, None));
    }
    if let Some((start, bits)) = entry.split_once('/') {
        let (start, bits) = (start.parse::<IpAddr>().ok()?, bits.parse().ok()?);
        return (bits <= width(start)).then_some((What::Range(start, bits), None));
    }
    let whole = |address: IpAddr| What::Range(address, width(address));
    if let Ok(address) = entry.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some((whole(address), None));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some((whole(address), port));
    }
    let name = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')).unwrap_or(host).trim_end_matches('.');
    (!name.is_empty() && !name.contains('*')).then(|| (What::Domain(name.to_ascii_lowercase()), port))
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn is_within(address: IpAddr, start: IpAddr, bits: u8) -> bool {
    let (address, start, rest) = match (address, start) {
        (IpAddr::V4(address), IpAddr::V4(start)) => (u128::from(address.to_bits()), u128::from(start.to_bits()), 32),
        (IpAddr::V6(address), IpAddr::V6(start)) => (address.to_bits(), start.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let shift = rest - u32::from(bits);
    address.checked_shr(shift).unwrap_or(0) == start.checked_shr(shift).unwrap_or(0)
}

fn is_below(host: &str, name: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_entry_excepts_what_it_names_and_nothing_beside_it() {
        for (list, covered, not) in [
            ("*", "https://any.test/", ""),
            ("corp.test", "https://corp.test/", "https://notcorp.test/"),
            (".corp.test", "https://a.b.corp.test/", "https://corp.test.evil.test/"),
            ("*.corp.test", "https://a.corp.test/", "https://xcorp.test/"),
            ("CORP.test", "https://Corp.Test./", "https://corp/"),
            ("corp.test:8443", "https://corp.test:8443/", "https://corp.test/"),
            ("10.0.0.0/8", "https://10.255.0.1/", "https://11.0.0.1/"),
            ("0.0.0.0/0", "https://1.2.3.4/", "https://[2603::1]/"),
            ("fd00::/8", "https://[fd12::1]/", "https://[fe80::1]/"),
            ("::/0", "https://[2603::1]/", "https://1.2.3.4/"),
            ("10.0.0.1", "https://10.0.0.1/", "https://10.0.0.10/"),
            ("10.0.0.1:443", "https://10.0.0.1/", "https://10.0.0.1:444/"),
            ("[fd00::1]:443", "https://[fd00::1]/", "https://[fd00::1]:1/"),
            ("a.test, b.test", "https://b.test/", "https://c.test/"),
        ] {
            let exceptions = Exceptions::read(list);
            assert!(exceptions.cover(&Url::parse(covered).unwrap()), "{list}: {covered}");
            assert!(not.is_empty() || !exceptions.cover(&Url::parse(not).unwrap()), "{list}: {not}");
        }
    }

    #[test]
    fn what_cannot_be_read_excepts_nothing() {
        for list in ["", ",", ".", "*.", "10.0.0.0/33", "10.0.0.0/x", "a*.test", "a.test:port", "fd00::/129"] {
            for address in ["https://a.test/", "https://10.0.0.1/", "https://[fd00::1]/"] {
                assert!(!Exceptions::read(list).cover(&Url::parse(address).unwrap()), "{list}: {address}");
            }
        }
    }
}
