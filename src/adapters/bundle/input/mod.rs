//! The bytes of a table as they come in: counted, unpacked if they are packed,
//! refused if they are no table at all.
//!
//! *Invariant:* memory stays the same whatever the input unpacks to: a window of
//! at most [`zstd::WINDOW_LIMIT`] bytes and a few buffers. How much it unpacks to
//! is for the limits on rows and on the bundle to say.
//!
//! What a decoder keeps to refer back to is clear text that is not wiped when it
//! goes, unlike the buffers of what is not packed.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use zeroize::Zeroizing;

use crate::table::reader::content::{HEAD_LIMIT, Packing, foreign};
use crate::table::reader::encoding::EncodingError;

mod zstd;

/// Packed bytes read at a time.
const READ: usize = 16 << 10;

/// A table's bytes, unpacked.
pub struct Input<'a> {
    bytes: Box<dyn Read + Send + 'a>,
    tap: Arc<Tap>,
    packing: Packing,
}

/// What is known of the bytes before they were unpacked.
#[derive(Default)]
struct Tap {
    /// How many were used: of what is packed, those that were unpacked.
    taken: AtomicU64,
    /// How many they came to, about: what is kept to refer back to counts too.
    made: AtomicU64,
    /// The system's number of the error that reading them ended with, or 0. A
    /// decoder tells it as its own, if at all.
    failed: AtomicI32,
}

/// Why bytes could be read but are no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// What is packed cannot be unpacked to its end.
    #[error("its {0} data is damaged, cut short, or followed by something else; make or copy the file again")]
    Damaged(&'static str),
    /// Unpacking would take more memory than there is for it.
    #[error("it was packed with a window of over {} MiB; pack it again without --long and --ultra", zstd::WINDOW_LIMIT >> 20)]
    Window,
    /// Something else than a table.
    #[error("it is {0}, which holds no table by itself; name the table's own file")]
    Foreign(&'static str),
    /// Not in the encoding that is set.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
}

impl From<InputError> for io::Error {
    fn from(error: InputError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl<'a> Input<'a> {
    /// Looks at the first bytes and unpacks what they say.
    ///
    /// # Errors
    ///
    /// As the bytes' reader says, and an [`InputError`] for what is no table.
    pub fn new(bytes: impl Read + Send + 'a) -> io::Result<Self> {
        let tap = Arc::new(Tap::default());
        let mut watched = Watched { bytes, tap: Arc::clone(&tap) };
        let head = head(&mut watched)?;
        let packing = Packing::of(&head);
        if let Some(what) = foreign(&head, false) {
            return Err(InputError::Foreign(what).into());
        }
        let whole = Cursor::new(head).chain(watched);
        let (kept, made) = (Arc::clone(&tap), Arc::clone(&tap));
        let used = |whole| Used { bytes: BufReader::with_capacity(READ, whole), tap: kept };
        let bytes: Box<dyn Read + Send + 'a> = match packing {
            Packing::None => Box::new(whole),
            Packing::Gzip => unpacked(MultiGzDecoder::new(used(whole)), packing, made)?,
            Packing::Zstd => unpacked(zstd::Frames::new(used(whole), Arc::clone(&made)), packing, made)?,
        };
        Ok(Self { bytes, tap, packing })
    }

    /// Returns how many bytes were read before they were unpacked.
    pub fn taken(&self) -> u64 {
        self.tap.taken.load(Ordering::Relaxed)
    }

    /// Returns how many bytes those came to so far, about.
    pub fn made(&self) -> u64 {
        self.tap.made.load(Ordering::Relaxed)
    }

    /// Returns how they are packed.
    pub const fn packing(&self) -> Packing {
        self.packing
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        if self.packing == Packing::None {
            self.tap.count(read);
            self.tap.made.fetch_add(read as u64, Ordering::Relaxed);
        }
        Ok(read)
    }
}

impl Tap {
    fn count(&self, taken: usize) {
        self.taken.fetch_add(taken as u64, Ordering::Relaxed);
    }
}

fn unpacked<'a>(
    bytes: impl Read + Send + 'a,
    packing: Packing,
    tap: Arc<Tap>,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut unpacked = Unpacked { bytes, packing, tap };
    let head = head(&mut unpacked)?;
    if let Some(what) = foreign(&head, true) {
        return Err(InputError::Foreign(what).into());
    }
    Ok(Box::new(Cursor::new(head).chain(unpacked)))
}

/// Reads the first bytes, fewer only where there are no more.
fn head(bytes: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut head = Zeroizing::new(Vec::with_capacity(HEAD_LIMIT));
    bytes.take(HEAD_LIMIT as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Keeps what the system said when reading failed.
struct Watched<R> {
    bytes: R,
    tap: Arc<Tap>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.tap.failed.store(error.raw_os_error().unwrap_or_default(), Ordering::Relaxed);
            }
        })
    }
}

/// Counts what a decoder uses of what was read.
struct Used<B> {
    bytes: B,
    tap: Arc<Tap>,
}

impl<B: BufRead> Read for Used<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer).inspect(|count| self.tap.count(*count))
    }
}

impl<B: BufRead> BufRead for Used<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.tap.count(amount);
        self.bytes.consume(amount);
    }
}

/// Tells bytes that cannot be unpacked from bytes that cannot be read.
struct Unpacked<R> {
    bytes: R,
    packing: Packing,
    tap: Arc<Tap>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let counts = |count: &usize| {
            if self.packing == Packing::Gzip {
                self.tap.made.fetch_add(*count as u64, Ordering::Relaxed);
            }
        };
        self.bytes.read(buffer).inspect(counts).map_err(|error| {
            let failed = self.tap.failed.load(Ordering::Relaxed);
            let is_ours = error.get_ref().is_some_and(|inner| inner.is::<InputError>());
            if failed != 0 {
                io::Error::from_raw_os_error(failed)
            } else if is_ours || error.kind() == io::ErrorKind::Interrupted {
                error
            } else {
                InputError::Damaged(self.packing.name()).into()
            }
        })
    }
}
