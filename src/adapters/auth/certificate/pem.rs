//! Reads PEM (RFC 7468): parts in base64 between two lines that name them. What
//! stands between the parts is for people, and passed over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::unfit::Unfit;

/// How a part begins, at the start of a line.
pub(super) const BEGIN: &[u8] = b"-----BEGIN ";

/// A part.
pub(super) struct Part {
    /// What its first line calls it: `CERTIFICATE`.
    pub(super) label: String,
    /// Whether it says that it is encrypted the old way (RFC 1421).
    pub(super) is_locked: bool,
    /// What it holds.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// Reads all parts, whole as they are.
pub(super) fn parts(text: &[u8]) -> Result<Vec<Part>, Unfit> {
    let mut parts = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        // A byte order mark may stand before the first part.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(b"-----")) else { continue };
        let end = [b"-----END ", label, b"-----"].concat();
        let mut is_locked = false;
        // As long as the whole, so that growing leaves no copies of a key behind.
        let mut coded = Zeroizing::new(Vec::with_capacity(text.len()));
        loop {
            match lines.next().ok_or(Unfit::Unfinished)? {
                line if line == end => break,
                line if line.contains(&b':') => is_locked |= line.ends_with(b"ENCRYPTED"),
                line => coded.extend_from_slice(line),
            }
        }
        let der = STANDARD.decode(&coded[..]).map_err(|_| Unfit::NotBase64)?;
        let label = String::from_utf8_lossy(label).into_owned();
        parts.push(Part { label, is_locked, der: Zeroizing::new(der) });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_between_words_for_people_and_with_any_line_ends() {
        let text = "\u{feff}-----BEGIN A-----\r\nYWJj\r\nZGVm\r\n-----END A-----\r\nBag: x\n\n-----BEGIN B C-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nYQ==\n-----END B C-----";
        let parts = parts(text.as_bytes()).ok().unwrap();
        let seen: Vec<_> = parts.iter().map(|part| (part.label.as_str(), part.is_locked, &part.der[..])).collect();
        assert_eq!(seen, [("A", false, &b"abcdef"[..]), ("B C", true, &b"a"[..])]);
    }

    #[test]
    fn a_part_without_its_end_is_unfinished() {
        for text in ["-----BEGIN A-----", "-----BEGIN A-----\nYWJj\n", "-----BEGIN A-----\nYWJj\n-----END B-----\n"] {
            assert!(matches!(parts(text.as_bytes()), Err(Unfit::Unfinished)), "{text}");
        }
        assert!(matches!(parts(b"-----BEGIN A-----\nY!\n-----END A-----"), Err(Unfit::NotBase64)));
    }
}
