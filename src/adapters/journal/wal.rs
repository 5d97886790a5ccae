//! Whether the end of the write-ahead log is torn, or its middle damaged.
//!
//! SQLite ends a log at the first frame that does not verify and drops the
//! rest in silence. That is right for a power cut, which tears only the last
//! transaction: every earlier one was synced before the next began. It is wrong
//! for a flipped bit or a write that never reached the disk, behind which
//! lie transactions that were announced as durable. So the log is walked here
//! first: a bad frame behind which another transaction begins is damage.
//!
//! Each frame's sum continues the one of the frame before, so frames behind a
//! bad one can still be verified. The log is emptied at each checkpoint, which
//! is why no frame of an older log stands behind the end. One flip is out of
//! reach: where it unmarks the end of the last transaction but one, that end
//! looks like part of a torn last one.

use std::io::{self, ErrorKind, Read};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Either magic, without the lowest bit, which tells the byte order of sums.
const MAGIC: u32 = 0x377F_0682;

/// What stands at the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Only whole frames.
    Whole,
    /// A last transaction that was never finished and never announced.
    Torn,
    /// Something that was durable does not verify.
    Damaged {
        /// The number of the frame, from 1; 0 for the header.
        frame: u64,
    },
}

/// Walks a log.
pub(super) fn inspect(mut log: impl Read) -> io::Result<Tail> {
    let mut header = [0; HEADER];
    match fill(&mut log, &mut header)? {
        0 => return Ok(Tail::Whole),
        HEADER => (),
        _ => return Ok(Tail::Torn),
    }
    let Some(mut walk) = Walk::begin(&header) else {
        // The header is synced before the first frame is written.
        let behind = fill(&mut log, &mut [0])?;
        return Ok(if behind == 0 { Tail::Torn } else { Tail::Damaged { frame: 0 } });
    };
    let mut frame = vec![0; FRAME_HEADER + walk.page];
    let mut number = 0;
    let mut bad: Option<Bad> = None;
    loop {
        match fill(&mut log, &mut frame)? {
            0 if bad.is_none() => return Ok(Tail::Whole),
            length if length < frame.len() => return Ok(Tail::Torn),
            _ => number += 1,
        }
        let verifies = walk.verify(&frame);
        let commits = word(&frame, 4) != 0;
        match &mut bad {
            None if verifies => (),
            None => bad = Some(Bad { frame: number, ended: commits }),
            Some(bad) if verifies && bad.ended => return Ok(Tail::Damaged { frame: bad.frame }),
            Some(bad) => bad.ended |= verifies && commits,
        }
    }
}

/// The first frame that does not verify.
struct Bad {
    frame: u64,
    /// Whether its transaction ended, so that a frame to come is of another.
    ended: bool,
}

struct Walk {
    page: usize,
    big_endian: bool,
    salts: [u8; 8],
    /// The sums the next frame may continue: the one stored in this frame, and
    /// the one its content has. They differ where either is damaged.
    sums: [(u32, u32); 2],
}

impl Walk {
    fn begin(header: &[u8; HEADER]) -> Option<Self> {
        let magic = word(header, 0);
        let page = word(header, 8) as usize;
        let big_endian = magic & 1 == 1;
        let sum = summed((0, 0), &header[..24], big_endian);
        let holds = magic & !1 == MAGIC
            && page.is_power_of_two()
            && (512..=65536).contains(&page)
            && sum == (word(header, 24), word(header, 28));
        let salts = [16, 17, 18, 19, 20, 21, 22, 23].map(|at: usize| header[at]);
        holds.then_some(Self { page, big_endian, salts, sums: [sum; 2] })
    }

    /// Returns whether a frame continues the one before.
    fn verify(&mut self, frame: &[u8]) -> bool {
        let stored = (word(frame, 16), word(frame, 20));
        let continued = self.sums.map(|sum| {
            let head = summed(sum, &frame[..8], self.big_endian);
            summed(head, &frame[FRAME_HEADER..], self.big_endian)
        });
        self.sums = [stored, continued[0]];
        frame[8..16] == self.salts && continued.contains(&stored)
    }
}

/// Continues SQLite's sum over a multiple of eight bytes.
fn summed(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let read = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    bytes.chunks_exact(8).fold(start, |(first, second), pair| {
        let first = first.wrapping_add(read([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(second);
        let second = second.wrapping_add(read([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(first);
        (first, second)
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads until the buffer is full or the input ends; returns how much.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
