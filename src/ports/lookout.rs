//! News of changes to files, as they happen.
//!
//! News is a reason to look and nothing more: what is true of a file is what a
//! look at it finds. So news may come twice, for nothing, or about a file that
//! has changed once more meanwhile; and whoever looks out looks now and then
//! without news too, for there are changes no host is told of.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Task;

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The folder.
    pub folder: PathBuf,
    /// The name.
    pub name: OsString,
}

/// What happened at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Where.
    pub point: Point,
    /// Whether something was renamed to this name: it was whole before.
    pub arrived: bool,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something happened at these points.
    Happened(Vec<Happening>),
    /// More happened than could be told: anything may be different.
    Missed,
}

/// A folder whose changes are not told, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// The folder.
    pub folder: PathBuf,
    /// Why, and what could be done.
    pub reason: String,
}

/// Looks out for changes.
pub trait Lookout: Send + Sync {
    /// Looks out at these points from now on and at no others. Returns the
    /// folders in which it sees nothing: they are to be looked at often.
    fn look_at(&mut self, points: &BTreeSet<Point>) -> Vec<Blind>;

    /// Completes when something has happened. Dropped before, it loses nothing.
    fn news(&mut self) -> Task<'_, News>;
}
