//! The checksum of a row.
//!
//! SQLite checks the shape of its pages but not what stands in them. A bit
//! that flipped inside a row would be believed, so each row carries the sum
//! of its own content and is refused without it.

use crc64fast_nvme::Digest;

/// Returns the CRC-64/NVME of the fields, each led by its length (eight bytes,
/// little-endian) so that no two rows run together alike.
pub(super) fn of(fields: &[&[u8]]) -> i64 {
    let mut digest = Digest::new();
    for field in fields {
        digest.write(&(field.len() as u64).to_le_bytes());
        digest.write(field);
    }
    digest.sum64().cast_signed()
}

/// Returns the sum of a row of `upload`. When it was closed is not part of it:
/// that is checked against its closing record.
pub(super) fn of_upload(id: &str, begun: i64, entry: &str) -> i64 {
    of(&[b"upload", id.as_bytes(), &begun.to_le_bytes(), entry.as_bytes()])
}

/// Returns the sum of a row of `record`.
pub(super) fn of_record(upload: &str, slot: &str, seq: i64, body: &str) -> i64 {
    of(&[b"record", upload.as_bytes(), slot.as_bytes(), &seq.to_le_bytes(), body.as_bytes()])
}

/// Returns the sum of a row of `fact`.
pub(super) fn of_fact(name: &str, value: &str) -> i64 {
    of(&[b"fact", name.as_bytes(), value.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together() {
        assert_ne!(of_fact("ab", "c"), of_fact("a", "bc"));
        assert_ne!(of_record("u", "s", 1, "b"), of_record("u", "s", 2, "b"));
    }
}
