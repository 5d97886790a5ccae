//! Tracking: keeping the session of an uploader that sends its blocks itself.

use super::ask::{Ask, Beginning};
use super::exit::{Exit, Trouble};
use super::intake::{Intake, label, not_taken, seed};
use super::status::UploadView;
use crate::ports::journal::Entry;
use crate::upload::plan::{Plan, Sender};

impl Intake {
    /// Tracks a session of another uploader; without one, the session of this
    /// host that is open for as many blocks, or opens one.
    ///
    /// # Errors
    ///
    /// Says what to do, and with which code a command should exit.
    pub async fn track(&self, data_store: &str, session: Option<String>, total: u32) -> Result<UploadView, Trouble> {
        if total == 0 {
            return Err(Trouble::new(Exit::Usage, "track the session: it must have at least one block"));
        }
        if let Some(session) = &session
            && let Ok(view) = self.asker.ask(|reply| Ask::View(session.clone(), reply)).await
            && let Ok(view) = view
            && !view.is_closed()
        {
            return match view.total_blocks == total {
                true => Ok(view),
                false => Err(Trouble::new(
                    Exit::Usage,
                    format!("track session {session}: it is tracked already, with {} blocks", view.total_blocks),
                )),
            };
        }
        let store = self.find_store(data_store).await?;
        let orphan = match session {
            Some(_) => None,
            None => self.tracked_orphan(&store, total).await?,
        };
        let id = self.new_id()?;
        let plan = Plan {
            table: store.display_name.clone(),
            store: store.id.clone(),
            file_name: Plan::file_name(&label(&store.display_name), &id),
            sender: Sender::Tracked { session },
            total_blocks: total,
            canary: false,
            seed: seed()?,
            begun: self.clock.now().wall,
            id,
        };
        let entry = Entry { plan, bundle: None, owns_bundle: false, source: None, urgent: true };
        let mut beginning = Beginning::of(entry, self.settings.now());
        if let Some(orphan) = orphan {
            beginning.entry.plan.file_name = orphan.file_name();
            beginning.records = orphan.records(total, self.clock.now().wall);
        }
        self.begin_entry(beginning).await.map_err(|refused| not_taken(&refused))
    }
}
