//! A name for each request, to find it again in the service's own records.

/// Returns a fresh random GUID (RFC 9562, version 4).
#[expect(clippy::disallowed_methods, reason = "request names must be unlike anyone's; nothing else hangs on them")]
pub fn guid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes to a started process");
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::guid;

    #[test]
    fn every_guid_is_another_and_says_it_is_random() {
        let (one, two) = (guid(), guid());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
