//! Settling: when a file is taken to be whole.
//!
//! A file that is being written must be left alone until its producer is done,
//! and a producer says so in one of three ways. It renames the finished file
//! into place: that one is whole from the first look. It puts a marker beside
//! it: the file is whole when the marker is not older. Or it says nothing: then
//! the file is whole once it has stayed the same for a while.

use std::time::Duration;

use crate::ground::moment::Moment;
use crate::table::manifest::SourceIdentity;

/// What makes a file whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It has stayed the same for so long, or was renamed into place.
    Rest(Duration),
    /// A marker beside it is not older.
    Marker,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// The file.
    pub(super) file: SourceIdentity,
    /// When its marker was last written, in nanoseconds since 1970; none: it
    /// is not there, or none is asked for.
    pub(super) marker_ns: Option<i64>,
    /// Whether something was renamed to its name, or to one that leads to it,
    /// since the look before.
    pub(super) arrived: bool,
}

/// Whether a file is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is.
    Yes,
    /// Not before this moment, if it stays the same until then.
    Until(Moment),
    /// Not before its marker is written.
    NoMarker,
}

/// What the looks so far say of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Settling {
    seen: Option<SourceIdentity>,
    /// Since when it has been the same.
    since: Moment,
    /// Whether it was renamed into place and is untouched since.
    is_whole: bool,
    marker_ns: Option<i64>,
}

impl Settling {
    /// Takes a look in; none: the file is not there.
    pub(super) fn saw(&mut self, sight: Option<Sight>, now: Moment) {
        let Some(Sight { file, marker_ns, arrived }) = sight else {
            self.seen = None;
            return;
        };
        self.marker_ns = marker_ns;
        if self.seen == Some(file) {
            return;
        }
        let place = |file: SourceIdentity| (file.device, file.inode);
        // The same file by another name or with other bytes was not renamed
        // into place whole, whatever else happened.
        self.is_whole = arrived && self.seen.map(place) != Some(place(file));
        self.seen = Some(file);
        self.since = now;
    }

    /// Returns whether the file as it was at the last look is whole by a rule.
    pub(super) fn settled(&self, rule: Rule, now: Moment) -> Settled {
        match rule {
            Rule::Marker => {
                let is_marked = self.seen.is_some_and(|file| self.marker_ns >= Some(file.modified_ns));
                if is_marked { Settled::Yes } else { Settled::NoMarker }
            }
            Rule::Rest(_) if self.is_whole => Settled::Yes,
            Rule::Rest(span) if now >= self.since + span => Settled::Yes,
            Rule::Rest(span) => Settled::Until(self.since + span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule::Rest(Duration::from_secs(3));

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    fn file(inode: u64, modified_ns: i64) -> SourceIdentity {
        SourceIdentity { device: 1, inode, bytes: 7, modified_ns, changed_ns: modified_ns }
    }

    fn sight(inode: u64, modified_ns: i64, arrived: bool) -> Option<Sight> {
        Some(Sight { file: file(inode, modified_ns), marker_ns: None, arrived })
    }

    #[test]
    fn a_file_is_whole_once_it_stayed_the_same_for_as_long_as_the_rule_says() {
        let mut settling = Settling::default();
        settling.saw(sight(1, 10, false), at(0));
        assert_eq!(settling.settled(RULE, at(2)), Settled::Until(at(3)));
        settling.saw(sight(1, 20, false), at(2));
        assert_eq!(settling.settled(RULE, at(3)), Settled::Until(at(5)), "it changed meanwhile");
        settling.saw(sight(1, 20, false), at(5));
        assert_eq!(settling.settled(RULE, at(5)), Settled::Yes);
        settling.saw(None, at(6));
        settling.saw(sight(1, 20, false), at(7));
        assert_eq!(settling.settled(RULE, at(7)), Settled::Until(at(10)), "it was away meanwhile");
    }

    #[test]
    fn a_file_that_was_renamed_into_place_is_whole_at_once_until_it_is_written_to() {
        let mut settling = Settling::default();
        settling.saw(sight(1, 10, true), at(0));
        assert_eq!(settling.settled(RULE, at(0)), Settled::Yes);
        settling.saw(sight(2, 20, true), at(1));
        assert_eq!(settling.settled(RULE, at(1)), Settled::Yes);
        settling.saw(sight(2, 20, false), at(2));
        assert_eq!(settling.settled(RULE, at(2)), Settled::Yes, "nothing happened");
        settling.saw(sight(2, 30, false), at(3));
        assert_eq!(settling.settled(RULE, at(3)), Settled::Until(at(6)), "somebody writes to it");
        settling.saw(sight(2, 40, true), at(4));
        assert_eq!(settling.settled(RULE, at(4)), Settled::Until(at(7)), "it is the file it was");
    }

    #[test]
    fn a_marker_is_good_for_what_it_is_not_older_than() {
        let mut settling = Settling::default();
        let marked = |modified_ns: i64, marker_ns: Option<i64>| {
            Some(Sight { file: file(1, modified_ns), marker_ns, arrived: true })
        };
        for (modified, marker, expected) in [
            (10, None, Settled::NoMarker),
            (10, Some(9), Settled::NoMarker),
            (10, Some(10), Settled::Yes),
            (10, Some(11), Settled::Yes),
            (12, Some(11), Settled::NoMarker),
            (-5, None, Settled::NoMarker),
        ] {
            settling.saw(marked(modified, marker), at(0));
            assert_eq!(settling.settled(Rule::Marker, at(9)), expected, "{modified} {marker:?}");
        }
        settling.saw(None, at(10));
        assert_eq!(settling.settled(Rule::Marker, at(10)), Settled::NoMarker);
    }
}
