//! Which addresses belong to the internet at large, and which lead back inside.
//!
//! A name in an upload URI comes from outside, and whoever answers for that
//! name decides where it leads: to this host, to a neighbour, to the service
//! that hands out this machine's identity. So its addresses are looked at
//! before one of them is connected to.
//!
//! *Invariant:* what is not known to be public is not public. Of IPv6 only the
//! range that is handed out (`2000::/3`) is, and an address that carries an
//! IPv4 one is judged by that as well.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns what kind of address it is if it is not one of the internet's, in a
/// word that fits before "address".
pub fn inside(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => inside_v4(address),
        IpAddr::V6(address) => inside_v6(address),
    }
}

/// Ranges of the registry of special addresses (RFC 6890 and its successors).
fn inside_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("private"),
        [100, 64..=127, ..] => Some("shared"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("documentation"),
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Some("special"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn inside_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if (g, h) == (0, 0) => Some("unspecified"),
        [0, 0, 0, 0, 0, 0] if (g, h) == (0, 1) => Some("loopback"),
        // Mapped, compatible, and through a translator (NAT64): IPv4 in disguise.
        [0, 0, 0, 0, 0, 0xFFFF] => inside_v4(v4(g, h)),
        [0x64, 0xFF9B, 0, 0, 0, 0] => inside_v4(v4(g, h)),
        // 6to4 wraps one as well; Teredo wraps that of a server and, inverted, of a client.
        [0x2002, ..] => inside_v4(v4(b, c)),
        [0x2001, 0, ..] => inside_v4(v4(c, d)).or_else(|| inside_v4(v4(!g, !h))),
        [0x2001, 0xDB8, ..] | [0x3FFF, 0..=0xFFF, ..] => Some("documentation"),
        [0x2001, 0x1..=0x1FF, ..] => Some("special"),
        // ISATAP ends in one.
        [0x2000..=0x3FFF, ..] => (matches!(e, 0 | 0x200) && f == 0x5EFE).then_some("tunnelled"),
        [0xFC00..=0xFDFF, ..] => Some("unique local"),
        [0xFE80..=0xFEBF, ..] => Some("link-local"),
        [0xFF00..=0xFFFF, ..] => Some("multicast"),
        _ => Some("reserved"),
    }
}

/// Returns the IPv4 address in two segments of an IPv6 one.
const fn v4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> Option<&'static str> {
        inside(text.parse().unwrap())
    }

    #[test]
    fn every_range_that_leads_inside_is_known_up_to_its_edges() {
        for (kind_of, ranges) in [
            ("unspecified", ["0.0.0.0", "0.255.255.255", "::"].as_slice()),
            ("loopback", &["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]),
            ("private", &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0"]),
            ("private", &["192.168.255.255", "::ffff:10.1.2.3", "2002:a00:1::1", "64:ff9b::c0a8:101"]),
            ("private", &["2001:0:a00:1::1", "2001:0:808:808::f5ff:fffe"]),
            ("shared", &["100.64.0.0", "100.127.255.255", "::ffff:100.64.0.1"]),
            ("link-local", &["169.254.0.0", "169.254.169.254", "fe80::", "febf::1", "::ffff:169.254.169.254"]),
            ("link-local", &["2002:a9fe:a9fe::", "64:ff9b::a9fe:a9fe"]),
            ("documentation", &["192.0.2.1", "198.51.100.255", "203.0.113.0", "2001:db8::1", "3fff:fff::1"]),
            ("special", &["192.0.0.8", "192.88.99.1", "198.18.0.1", "198.19.255.255", "2001:20::1"]),
            ("multicast", &["224.0.0.1", "239.255.255.255", "ff02::1", "ffff::"]),
            ("reserved", &["240.0.0.1", "255.255.255.255", "::2", "::127.0.0.1", "100::1", "64:ff9b:1::1"]),
            ("reserved", &["fec0::1", "1fff::1", "4000::1"]),
            ("unique local", &["fc00::", "fd12:3456::1", "fdff::1"]),
            ("tunnelled", &["2a00::5efe:a00:1", "2a00::200:5efe:a00:1"]),
        ] {
            for address in ranges {
                assert_eq!(kind(address), Some(kind_of), "{address}");
            }
        }
    }

    #[test]
    fn neighbours_of_those_ranges_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "223.255.255.255",
            "20.60.0.1",
            "2603:1000::1",
            "2002:1400:1::1",
            "64:ff9b::1400:1",
            "::ffff:20.60.0.1",
            "3ffe:ffff::1",
        ] {
            assert_eq!(kind(address), None, "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_judged_alike_in_every_disguise(bits in any::<u32>(), rest in any::<u64>()) {
            let plain = Ipv4Addr::from_bits(bits);
            let verdict = inside(plain.into()).is_some();
            let high = |prefix: u128| Ipv6Addr::from_bits(prefix | u128::from(bits));
            let six_to_four = Ipv6Addr::from_bits(0x2002 << 112 | u128::from(bits) << 80 | u128::from(rest));
            for disguise in [high(0xFFFF << 32), high(0x64_FF9B << 96), six_to_four] {
                prop_assert_eq!(inside(disguise.into()).is_some(), verdict, "{}", disguise);
            }
        }

        #[test]
        fn nothing_the_standard_library_knows_to_be_local_is_public(bits in any::<u32>(), wide in any::<u128>()) {
            let (four, six) = (Ipv4Addr::from_bits(bits), Ipv6Addr::from_bits(wide));
            let local = four.is_loopback() || four.is_private() || four.is_link_local() || four.is_multicast()
                || four.is_documentation() || four.is_unspecified() || four.is_broadcast();
            prop_assert!(!local || inside(four.into()).is_some(), "{}", four);
            let local = six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local()
                || six.is_multicast() || six.is_unspecified();
            prop_assert!(!local || inside(six.into()).is_some(), "{}", six);
        }
    }
}
