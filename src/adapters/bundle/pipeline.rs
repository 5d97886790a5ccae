//! The threads of hashing: read, hash on all cores, put in order and write,
//! digest what was written.
//!
//! ```text
//! read ─▶ hash ×N ─▶ put in order, write ─▶ digest
//!   ▲──────────────── slots ──────────────────┘
//! ```
//!
//! Writing and digesting are serial, so each has a thread of its own: they are
//! what a machine of many cores waits for.
//!
//! A piece travels in a *slot* with the room for its digests. Slots are given
//! out in the table's order and there are few of them, so that memory is
//! bounded and the oldest piece always has one: nothing can wait for itself.
//!
//! A stage that fails goes away, its neighbours find their channels closed and
//! go too, and the one that failed says why.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};

use zeroize::Zeroizing;

use super::HashProgress;
use super::blocks::{Digester, Sealed, Writer};
use super::error::HashError;
use super::input::Input;
use super::limits::Limits;
use super::pieces::{Piece, Pieces};
use crate::table::block::CELL;
use crate::table::content::{ContentHasher, Part};
use crate::table::layout::Layout;
use crate::table::rejects::{Fault, Reject, Rejects};
use crate::table::rows::{HashedRows, RowHasher};

/// Slots for each hashing thread: one it works on, and some waiting for it, so that
/// it goes on while the reading thread is off its core.
const SLOTS_PER_THREAD: usize = 4;
/// Slots beside those: one being filled, one being written, one being digested.
const SPARE_SLOTS: usize = 3;

/// Bytes that all slots may have together, whatever the table and however many
/// cores: hashing keeps below 64 MiB.
const SLOT_MEMORY: usize = 40 << 20;
/// How much larger the digests of a piece can be than the piece: an empty field
/// is one byte, its separator, and its digest is a digest.
const GROWTH: usize = CELL;
/// The bytes a piece has at least and at most: enough to make handing it to
/// another thread cheap, few enough that it stays in a core's cache with its digests.
const PIECE: RangeInclusive<usize> = 16 << 10..=128 << 10;

/// Returns how many slots there are for so many hashing threads.
const fn slots(threads: usize) -> usize {
    threads * SLOTS_PER_THREAD + SPARE_SLOTS
}

/// Returns the size of a piece for so many hashing threads.
pub(super) fn piece_bytes(threads: usize) -> usize {
    (SLOT_MEMORY / (slots(threads) * (1 + GROWTH))).clamp(*PIECE.start(), *PIECE.end())
}

/// Where a piece and its digests are.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    cells: Vec<u8>,
}

/// What the threads work on.
pub(super) struct Work<'a> {
    pub(super) pieces: Pieces<Input<'a>>,
    /// The piece that holds the header.
    pub(super) first: Slot,
    /// Where it starts in the table.
    pub(super) first_offset: u64,
    /// Where the rows start in it.
    pub(super) rows_start: usize,
    /// Lines before it.
    pub(super) lines_before: u64,
    pub(super) hasher: RowHasher,
    pub(super) layout: Layout,
    pub(super) threads: usize,
    pub(super) source: &'a Path,
    pub(super) blocks_path: &'a Path,
    pub(super) progress: &'a HashProgress,
    pub(super) stop: &'a AtomicBool,
    pub(super) limits: Limits,
}

/// What came of it.
pub(super) struct Hashed {
    pub(super) rows: u64,
    pub(super) rejects: Rejects,
    /// Blank values in each column.
    pub(super) blank: Vec<u64>,
    /// What the values came to, where the content is digested.
    pub(super) content: Option<Part>,
    pub(super) sealed: Sealed,
}

struct Job {
    index: u64,
    slot: Slot,
    offset: u64,
    start: usize,
}

struct Done {
    index: u64,
    slot: Slot,
    outcome: Outcome,
}

enum Outcome {
    Hashed(HashedRows),
    TooLong { offset: u64, breaks: u64 },
    Unclosed { offset: u64, breaks: u64 },
}

/// Hashes all pieces and writes the blocks to a file.
pub(super) fn run(work: Work<'_>, file: &File) -> Result<Hashed, HashError> {
    let Work { pieces, first, first_offset, rows_start, lines_before, hasher, layout, .. } = work;
    let (threads, progress, stop, source, path, limits) =
        (work.threads, work.progress, work.stop, work.source, work.blocks_path, work.limits);
    let slots = slots(threads);
    let (free, freed) = channel();
    (1..slots).for_each(|_| free.send(Slot::default()).expect("its other end is in scope"));
    let (jobs, queue) = sync_channel(slots);
    let (done, finished) = sync_channel(slots);
    let (written, to_digest) = sync_channel(slots);
    let queue = Mutex::new(queue);
    jobs.send(Job { index: 0, slot: first, offset: first_offset, start: rows_start })
        .expect("its other end is in scope");
    scope(|scope| {
        let digester = Digester::new(layout);
        let digesting = spawn(scope, "hash-digest", move || digest(digester, &to_digest, &free))?;
        for _ in 0..threads {
            let (done, hasher, queue) = (done.clone(), hasher.clone(), &queue);
            spawn(scope, "hash-rows", move || hash_rows(hasher, queue, &done))?;
        }
        let reader = Reader { pieces, freed, jobs, done, source, progress, stop };
        let reading = spawn(scope, "hash-read", move || reader.run())?;
        let writer = Writer::new(layout, limits, file, path);
        let ordered = Orderer {
            writer,
            layout,
            lines: lines_before,
            rows: 0,
            rejects: Rejects::default(),
            blank: vec![0; layout.columns().into()],
            content: hasher.content().cloned(),
            progress,
            limits,
        };
        let counted = ordered.run(finished, written);
        join(reading)?;
        let digester = join(digesting);
        let Counted { rows, rejects, blank, content } = counted?;
        Ok(Hashed { rows, rejects, blank, content, sealed: digester.finish(file, path)? })
    })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, HashError> {
    Builder::new().name(name.to_owned()).spawn_scoped(scope, body).map_err(HashError::Thread)
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Hashes the rows of one piece after the other, until there are no more.
fn hash_rows(mut hasher: RowHasher, queue: &Mutex<Receiver<Job>>, done: &SyncSender<Done>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { index, mut slot, offset, start }) = next else { return };
        let hashed = hasher.hash(&slot.bytes, start, offset, &mut slot.cells);
        if done.send(Done { index, slot, outcome: Outcome::Hashed(hashed) }).is_err() {
            return;
        }
    }
}

/// Digests the rows of one piece after the other, and gives their slots back.
fn digest(mut digester: Digester, written: &Receiver<Slot>, free: &Sender<Slot>) -> Digester {
    for slot in written {
        digester.take(&slot.cells);
        // The reader may have come to its end.
        drop(free.send(slot));
    }
    digester
}

struct Reader<'a> {
    pieces: Pieces<Input<'a>>,
    freed: Receiver<Slot>,
    jobs: SyncSender<Job>,
    done: SyncSender<Done>,
    source: &'a Path,
    progress: &'a HashProgress,
    stop: &'a AtomicBool,
}

impl Reader<'_> {
    fn run(mut self) -> Result<(), HashError> {
        let mut index = 1;
        while let Ok(mut slot) = self.freed.recv() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(HashError::Stopped);
            }
            // It comes back with the digests of another piece, and not every piece has rows.
            slot.cells.clear();
            let piece = self.pieces.advance(&mut slot.bytes).map_err(|error| HashError::reading(self.source, error))?;
            self.progress.bytes_read.store(self.pieces.input().taken(), Ordering::Relaxed);
            let is_sent = match piece {
                None => return Ok(()),
                Some(Piece::Records { offset }) => self.jobs.send(Job { index, slot, offset, start: 0 }).is_ok(),
                Some(Piece::TooLong { offset, breaks, .. }) => {
                    self.done.send(Done { index, slot, outcome: Outcome::TooLong { offset, breaks } }).is_ok()
                }
                Some(Piece::Unclosed { offset, breaks }) => {
                    let outcome = Outcome::Unclosed { offset, breaks };
                    drop(self.done.send(Done { index, slot, outcome }));
                    return Ok(());
                }
            };
            if !is_sent {
                return Ok(());
            }
            index += 1;
        }
        Ok(())
    }
}

/// Puts the pieces in the table's order again, and writes them.
struct Orderer<'a> {
    writer: Writer<'a>,
    layout: Layout,
    lines: u64,
    rows: u64,
    rejects: Rejects,
    blank: Vec<u64>,
    /// Puts the content of the pieces together, where it is digested.
    content: Option<ContentHasher>,
    progress: &'a HashProgress,
    limits: Limits,
}

/// What all pieces came to together.
struct Counted {
    rows: u64,
    rejects: Rejects,
    blank: Vec<u64>,
    content: Option<Part>,
}

impl Orderer<'_> {
    fn run(mut self, finished: Receiver<Done>, written: SyncSender<Slot>) -> Result<Counted, HashError> {
        let mut early = BTreeMap::new();
        let mut next = 0;
        for done in finished {
            early.insert(done.index, done);
            while let Some(Done { slot, outcome, .. }) = early.remove(&next) {
                self.take(&slot, outcome)?;
                next += 1;
                written.send(slot).expect("the digester goes last");
            }
        }
        self.writer.finish()?;
        let content = self.content.as_ref().map(ContentHasher::part);
        Ok(Counted { rows: self.rows, rejects: self.rejects, blank: self.blank, content })
    }

    fn take(&mut self, slot: &Slot, outcome: Outcome) -> Result<(), HashError> {
        match outcome {
            Outcome::Hashed(hashed) => {
                self.rejects.append(&hashed.rejects, self.lines);
                self.lines += hashed.breaks;
                self.rows += hashed.rows;
                self.blank.iter_mut().zip(&hashed.blank).for_each(|(all, blank)| *all += blank);
                if let Some(content) = &mut self.content {
                    content.append(hashed.content);
                }
                self.check_count()?;
                self.writer.write(&slot.cells)?;
            }
            Outcome::TooLong { offset, breaks } => {
                self.rejects.add(Reject { line: self.lines + 1, column: 0, offset, fault: Fault::TooLong });
                self.lines += breaks;
            }
            Outcome::Unclosed { offset, breaks } => {
                return Err(HashError::Unclosed { line: self.lines + breaks + 1, offset });
            }
        }
        self.progress.rows.store(self.rows, Ordering::Relaxed);
        self.progress.rejected.store(self.rejects.total(), Ordering::Relaxed);
        Ok(())
    }

    /// Refuses a table as soon as it has too many blocks; what it advises is for
    /// the whole of the table, by what was read of it.
    fn check_count(&self) -> Result<(), HashError> {
        self.limits.check_rows(self.rows)?;
        let layout = self.layout;
        if layout.check(self.rows).is_ok() {
            return Ok(());
        }
        let read = self.progress.bytes_read.load(Ordering::Relaxed).max(1);
        let total = self.progress.bytes_total.load(Ordering::Relaxed).max(read);
        let expected = u128::from(self.rows) * u128::from(total) / u128::from(read);
        Ok(layout.check(u64::try_from(expected).unwrap_or(u64::MAX))?)
    }
}
