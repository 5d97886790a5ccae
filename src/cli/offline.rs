//! How things stand when no agent is at work: as the journal says.

use crate::adapters::clock::SystemClock;
use crate::adapters::journal::SqliteJournal;
use crate::agent::board::{Board, TableView};
use crate::agent::dispatcher;
use crate::agent::exit::Trouble;
use crate::agent::settings::Settings;
use crate::agent::status::{Counts, Picture, UploadView};
use crate::ports::clock::Clock;
use crate::upload::machine::Upload;

use super::local::{journal_trouble, open_state};

/// Reads the journal, holding the state directory for that long. Nothing is
/// asked of the service.
pub(crate) fn read(settings: &Settings) -> Result<(Picture, Vec<TableView>), Trouble> {
    let state = open_state(&settings.state_dir)?;
    let opened = SqliteJournal::open(&state.journal(), Box::new(|_| ()));
    let (journal, memory) = opened.map_err(|error| journal_trouble(&error))?;
    journal.close();
    let now = SystemClock.now();
    let board = Board::new(&settings.table, &memory.facts);
    let views = memory.accounts.iter().map(|account| {
        let policy = settings.policy(None);
        let upload = Upload::new(account.entry.plan.clone(), policy, &account.records, now);
        UploadView::of(&upload, &account.entry, &Counts::default(), None, now)
    });
    let views: Vec<UploadView> = views.collect();
    for view in &views {
        if view.held.is_some() {
            board.held(&view.table, view.held.clone(), None);
        }
    }
    let (mut closed, uploads): (Vec<UploadView>, Vec<UploadView>) = views.into_iter().partition(UploadView::is_closed);
    closed.reverse();
    let quota = dispatcher::remembered(&memory.facts, &settings.quota, now.wall);
    Ok((Picture { uploads, closed, quota, ..Picture::default() }, board.views()))
}
