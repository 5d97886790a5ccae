//! Finds the bytes that end a field, 64 bytes at a time.
//!
//! Fields are short. A search that starts anew for each of them spends more on
//! starting than on searching; so a window of bytes is looked at once, what was
//! found is kept as bits, and the next field takes the next bit.

/// Bytes of a window: one for each bit.
const WINDOW: usize = 64;

/// The marks of a stretch of bytes: separators and line breaks.
pub(super) struct Marks<'a> {
    bytes: &'a [u8],
    separator: u8,
    /// Where the window begins.
    start: usize,
    /// The marks in the window, the first byte's in the lowest bit.
    bits: u64,
}

impl<'a> Marks<'a> {
    pub(super) fn new(bytes: &'a [u8], separator: u8) -> Self {
        let mut marks = Self { bytes, separator, start: 0, bits: 0 };
        marks.bits = marks.look();
        marks
    }

    /// Returns the place of the first mark at `from` or behind it, else the
    /// bytes' end. Cheap if the places asked for only rise.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> usize {
        if from < self.start || from - self.start >= WINDOW {
            self.start = from;
            self.bits = self.look();
        }
        let mut bits = self.bits >> (from - self.start);
        let mut from = from;
        while bits == 0 {
            from = self.start + WINDOW;
            if from >= self.bytes.len() {
                return self.bytes.len();
            }
            self.start = from;
            self.bits = self.look();
            bits = self.bits;
        }
        from + bits.trailing_zeros() as usize
    }

    fn look(&self) -> u64 {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        match rest.first_chunk() {
            Some(window) => marks_in(window, self.separator),
            None => {
                let mut window = [0; WINDOW];
                window[..rest.len()].copy_from_slice(rest);
                // What was filled in must not be taken for a mark, whatever the separator is.
                marks_in(&window, self.separator) & !(u64::MAX << rest.len())
            }
        }
    }
}

/// Returns which bytes are marks. It is written so that the compiler makes a few
/// comparisons of many bytes each of it.
fn marks_in(window: &[u8; WINDOW], separator: u8) -> u64 {
    /// Gathers the lowest bits of eight bytes in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let is_mark = window.map(|byte| u8::from(byte == separator) | u8::from(byte == b'\n') | u8::from(byte == b'\r'));
    let (eights, _) = is_mark.as_chunks::<8>();
    let gathered = eights.iter().map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    gathered.enumerate().fold(0, |bits, (eight, marks)| bits | marks << (8 * eight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_marks_are_those_of_a_search_byte_by_byte(
            bytes in prop::collection::vec(prop_oneof![6 => any::<u8>(), 1 => Just(b','), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..300),
            steps in prop::collection::vec(0usize..150, 1..40),
            separator in prop_oneof![Just(b','), Just(0)],
        ) {
            let mut marks = Marks::new(&bytes, separator);
            let mut from = 0;
            for step in steps {
                let is_mark = |byte: &u8| [separator, b'\n', b'\r'].contains(byte);
                let expected = bytes[from..].iter().position(is_mark).map_or(bytes.len(), |at| from + at);
                prop_assert_eq!(marks.next(from), expected, "from {}", from);
                from = (expected + step).min(bytes.len());
            }
        }
    }
}
