//! Processing: what the service does with the committed bytes before they are
//! live.
//!
//! It reads them once: the digest must be the session's `checksum`, and they
//! must be blocks, in order, of as many columns as the session has fields and
//! as many as it said. Bytes of another encoding are taken unread if the
//! session claimed nothing about them (no checksum): what the real service
//! wants in a block is not public, and the sender of a tracked session may
//! know better.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::depot::{Part, PartReader};
use super::mint::hex;
use super::quirks::ChecksumForm;
use crate::table::block::{CELL, EdmBlock1, Encoding, HEADER};

/// The largest block that is read, in bytes; clients make them of about 8 MiB.
const LARGEST_BLOCK: usize = 512 << 20;

/// Bytes read at once of what is not a block.
const PIECE: usize = 256 << 10;

/// What the committed bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Their SHA-256, lower hex.
    pub sha256: String,
    /// How many they are.
    pub length: u64,
    /// The blocks they are made of; 0 if they are of another encoding.
    pub blocks: u32,
    /// The rows in them.
    pub rows: u64,
}

/// Why they can never be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Failure {
    /// Returns the failure as a `classificationError` of the API.
    pub(super) fn object(&self, at: &str, activity: &str) -> Value {
        json!({
            "code": "UploadDataFailed",
            "message": "The uploaded data could not be processed.",
            "target": "dataUploadURI",
            "innerError": {"errorDateTime": at, "code": self.code, "clientRequestId": null, "activityId": activity},
            "details": [{"code": self.code, "message": self.message, "target": null, "innerError": null}],
        })
    }
}

/// What a session claims about its bytes.
pub(super) struct Claim {
    pub(super) form: ChecksumForm,
    pub(super) checksum: Option<String>,
    pub(super) blocks: Option<u32>,
    pub(super) columns: usize,
}

/// A live table.
pub(super) struct Table {
    pub(super) session: String,
    pub(super) fields: Vec<String>,
    pub(super) salt: String,
    pub(super) parts: Vec<Arc<Part>>,
    pub(super) since: DateTime<Utc>,
    /// Whether its bytes are blocks that can be searched.
    pub(super) readable: bool,
}

/// Reads the committed bytes and judges them.
pub(super) fn examine(parts: &[Arc<Part>], claim: &Claim, stop: &AtomicBool) -> Result<Seal, Failure> {
    let mut digests = Digests::new(claim.form);
    let mut seal = Seal { sha256: String::new(), length: 0, blocks: 0, rows: 0 };
    let outcome = read_blocks(parts, stop, |event| match event {
        Piece::Block { bytes, columns, rows, index } => {
            digests.update(bytes);
            seal.length += bytes.len() as u64;
            if index != seal.blocks {
                return Err(failure(
                    "InvalidBlockOrder",
                    format!("Block {} of the data has the index {index}.", seal.blocks),
                ));
            }
            if claim.columns != 0 && claim.columns != columns {
                return Err(failure(
                    "InvalidColumnCount",
                    format!("Block {index} has {columns} columns, the session has {} fields.", claim.columns),
                ));
            }
            seal.blocks += 1;
            seal.rows += rows as u64;
            Ok(())
        }
        Piece::Other { bytes, why, foreign } => {
            if claim.checksum.is_some() || seal.blocks > 0 || !foreign {
                return Err(failure("InvalidDataFormat", format!("After {} bytes: {why}.", seal.length)));
            }
            digests.update(bytes);
            seal.length += bytes.len() as u64;
            Ok(())
        }
    });
    outcome?;
    let (sha256, claimed) = digests.finish();
    seal.sha256 = sha256;
    if let Some(expected) = claim.checksum.as_deref().filter(|_| claim.form != ChecksumForm::Any)
        && expected != claimed
    {
        return Err(failure(
            "ChecksumMismatch",
            format!("The data has the checksum {claimed}, the session says {expected}."),
        ));
    }
    match claim.blocks {
        Some(total) if seal.blocks > 0 && total != seal.blocks => {
            Err(failure("InvalidBlockCount", format!("The data has {} blocks, the session says {total}.", seal.blocks)))
        }
        _ => Ok(seal),
    }
}

/// Reads a table's rows, `columns` digests each, until `visit` says stop.
pub(super) fn scan(table: &Table, stop: &AtomicBool, mut visit: impl FnMut(&[u8]) -> bool) -> Result<(), Failure> {
    let mut going = true;
    read_blocks(&table.parts, stop, |piece| {
        if let Piece::Block { bytes, .. } = piece
            && let Ok(block) = EdmBlock1.decode(bytes)
        {
            going = going && block.rows().all(&mut visit);
        }
        Ok(())
    })
}

enum Piece<'a> {
    Block { bytes: &'a [u8], columns: usize, rows: usize, index: u32 },
    Other { bytes: &'a [u8], why: String, foreign: bool },
}

/// Cuts the bytes into blocks; what does not begin one is the rest.
fn read_blocks(
    parts: &[Arc<Part>],
    stop: &AtomicBool,
    mut take: impl FnMut(Piece<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = PartReader::new(parts);
    let mut buffer = Vec::new();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(failure("ServiceStopped", "The service was stopped.".to_owned()));
        }
        buffer.resize(HEADER, 0);
        let length = reader.fill(&mut buffer).map_err(unreadable)?;
        if length == 0 {
            return Ok(());
        }
        let whole = block_length(&buffer[..length]);
        if let Some(whole) = whole.filter(|&whole| whole <= LARGEST_BLOCK) {
            buffer.resize(whole, 0);
            let got = HEADER + reader.fill(&mut buffer[HEADER..]).map_err(unreadable)?;
            buffer.truncate(got);
        } else {
            buffer.truncate(length);
        }
        match EdmBlock1.decode(&buffer) {
            Ok(block) => {
                let (columns, rows, index) = (usize::from(block.columns), block.rows as usize, block.index);
                take(Piece::Block { bytes: &buffer, columns, rows, index })?;
            }
            Err(error) => {
                let foreign = !buffer.starts_with(b"EDMB");
                take(Piece::Other { bytes: &buffer, why: error.to_string(), foreign })?;
                buffer.resize(PIECE, 0);
                loop {
                    let length = reader.fill(&mut buffer).map_err(unreadable)?;
                    if length == 0 {
                        return Ok(());
                    }
                    take(Piece::Other { bytes: &buffer[..length], why: error.to_string(), foreign })?;
                }
            }
        }
    }
}

/// Returns the length of the block that begins with this header.
fn block_length(header: &[u8]) -> Option<usize> {
    let [b'E', b'D', b'M', b'B', _, _, c0, c1, r0, r1, r2, r3, ..] = *header else { return None };
    let rows = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
    Some(HEADER + usize::from(u16::from_le_bytes([c0, c1])) * rows * CELL)
}

fn failure(code: &'static str, message: String) -> Failure {
    Failure { code, message }
}

fn unreadable(error: io::Error) -> Failure {
    failure("InternalError", format!("The stored data could not be read: {error}."))
}

/// The digests of the whole: always the SHA-256, and what the checksum is.
struct Digests {
    form: ChecksumForm,
    sha256: Sha256,
    sha512: Option<Sha512>,
    md5: Option<md5::Md5>,
}

impl Digests {
    fn new(form: ChecksumForm) -> Self {
        let sha512 = matches!(form, ChecksumForm::Sha512Hex | ChecksumForm::Sha512Base64).then(Sha512::new);
        let md5 = matches!(form, ChecksumForm::Md5Hex | ChecksumForm::Md5Base64).then(md5::Md5::new);
        Self { form, sha256: Sha256::new(), sha512, md5 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Returns the SHA-256 in hex and the checksum in its form.
    fn finish(self) -> (String, String) {
        let sha256: [u8; 32] = self.sha256.finalize().into();
        let other = match (self.sha512, self.md5) {
            (Some(sha512), _) => sha512.finalize().to_vec(),
            (None, Some(md5)) => md5.finalize().to_vec(),
            (None, None) => sha256.to_vec(),
        };
        let claimed = match self.form {
            ChecksumForm::Sha256Base64 | ChecksumForm::Md5Base64 | ChecksumForm::Sha512Base64 => STANDARD.encode(other),
            ChecksumForm::Sha256Hex | ChecksumForm::Md5Hex | ChecksumForm::Sha512Hex | ChecksumForm::Any => hex(&other),
        };
        (hex(&sha256), claimed)
    }
}
