//! The setting `when`, and those that go with it.

use std::path::PathBuf;

use super::settle::Rule;
use super::timetable::{self, Timetable};
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::TableSettings;

/// When a table is uploaded.
#[derive(Debug, Clone)]
pub enum When {
    /// When its file changes.
    OnChange,
    /// When somebody asks.
    Manual,
    /// At the times of a cron expression.
    Cron(Box<Timetable>),
}

impl When {
    /// Reads the settings `when` and `timezone`.
    ///
    /// # Errors
    ///
    /// Says what may be written.
    pub fn parse(table: &TableSettings) -> Result<Self, Trouble> {
        let refused = |what: String| Trouble::new(Exit::BadConfiguration, format!("table {}: {what}", table.name));
        let zone = timetable::zone(&table.timezone)
            .map_err(|must| refused(format!("timezone = \"{}\" {must}", table.timezone)))?;
        match table.when.as_str() {
            "on-change" => Ok(Self::OnChange),
            "manual" => Ok(Self::Manual),
            expression => match Timetable::parse(expression, zone) {
                Ok(timetable) => Ok(Self::Cron(Box::new(timetable))),
                Err(error) => Err(refused(format!(
                    "when = \"{expression}\" is neither on-change, manual nor a cron expression: {error}"
                ))),
            },
        }
    }
}

/// Returns what makes a table's file whole.
pub(super) fn rule(table: &TableSettings) -> Rule {
    match table.done_marker.is_empty() {
        true => Rule::Rest(table.settle),
        false => Rule::Marker,
    }
}

/// Returns the marker of a table's file, if one is asked for.
pub(super) fn marker(table: &TableSettings) -> Option<PathBuf> {
    let suffix = Some(&table.done_marker).filter(|suffix| !suffix.is_empty())?;
    let mut path = table.path.clone().into_os_string();
    path.push(suffix);
    Some(PathBuf::from(path))
}
