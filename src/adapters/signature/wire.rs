//! How SSH writes things (RFC 4251 §5): big-endian numbers, and texts with
//! their length before them.

/// How an Ed25519 key is called (RFC 8709).
pub(super) const ED25519: &[u8] = b"ssh-ed25519";

/// Appends a text.
pub(super) fn put(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).expect("a key or a digest is short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
}

/// Returns an Ed25519 public key as SSH writes it.
pub(super) fn public_key(key: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, ED25519);
    put(&mut blob, key);
    blob
}

/// Reads an Ed25519 public key.
pub(super) fn read_public_key(blob: &[u8]) -> Option<[u8; 32]> {
    read_named(blob)
}

/// Reads a text of a fixed length behind the name of Ed25519, and nothing more.
pub(super) fn read_named<const LENGTH: usize>(blob: &[u8]) -> Option<[u8; LENGTH]> {
    let mut fields = Fields(blob);
    let name = fields.text()?;
    let value = fields.text()?.try_into().ok()?;
    (name == ED25519 && fields.0.is_empty()).then_some(value)
}

/// What is left to be read.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Takes so many bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes a number.
    pub(super) fn number(&mut self) -> Option<u32> {
        self.bytes(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    /// Takes a text.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).ok()?)
    }
}
