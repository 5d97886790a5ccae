//! What a file is by its first bytes: packed in a way that is unpacked on the
//! fly, or something that holds no table at all. File names are not asked.

/// The most bytes that are looked at: a tar says what it is at its 257th.
pub const HEAD_LIMIT: usize = 512;

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

impl Packing {
    /// Tells the packing by the first bytes.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a frame to be skipped, of RFC 8878.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Returns what the bytes are, if they are surely no table; `is_unpacked` says
/// that they came out of a packing, of which there may be one.
pub fn foreign(head: &[u8], is_unpacked: bool) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 8] = [
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
        (b"PK\x05\x06", "an empty ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"\xfd7zXZ\0", "packed with xz"),
        (b"%PDF-", "a PDF"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x04\x22\x4d\x18", "packed with LZ4"),
    ];
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    // The digit is a level, the rest the digits of pi with which a block begins.
    if matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]) {
        return Some("packed with bzip2");
    }
    (is_unpacked && Packing::of(head) != Packing::None).then_some("packed twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_told_by_its_first_bytes_and_a_table_is_not() {
        assert_eq!(foreign(b"PK\x03\x04\x14\0", false), Some("a ZIP archive or an Excel workbook"));
        assert_eq!(foreign(b"BZh91AY&SY..", false), Some("packed with bzip2"));
        let mut tar = b"patients.csv".to_vec();
        tar.resize(257, 0);
        tar.extend_from_slice(b"ustar\0");
        assert_eq!(foreign(&tar, true), Some("a tar archive"));
        assert_eq!(foreign(&[0x1f, 0x8b, 8], true), Some("packed twice"));
        for head in [b"BZh,PK\n".as_slice(), b"PK,Name\n", b"7z,x\n", b"", b"\x1f\x8b\x08"] {
            assert_eq!(foreign(head, false), None, "{head:?}");
        }
    }
}
