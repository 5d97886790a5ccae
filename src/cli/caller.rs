//! Whom a command asks: the agent that is at work, or this process itself.
//!
//! An agent goes by the configuration it has, so a command it carries out needs
//! no more of one than where the agent is. Whatever else is wrong with the file
//! is the agent's to refuse when it is to read it again, and keeps nobody from
//! seeing and changing what is under way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::Place;
use super::output::tell;
use crate::agent::client::Client;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::{Settings, UploadSettings};

/// A command that may have the agent do it.
pub(crate) struct Caller {
    place: Place,
    settings: Result<Settings, Trouble>,
}

/// Who does it.
pub(crate) enum Desk {
    /// The agent that answers.
    There(Client),
    /// This process, by the whole configuration.
    Here(Box<Settings>),
}

impl Caller {
    /// Makes one. `place` says where the agent is if the configuration does not.
    ///
    /// # Errors
    ///
    /// Why the configuration was refused, if nothing says where the agent is.
    pub(crate) fn new(
        settings: Result<Settings, Trouble>,
        place: impl FnOnce() -> Option<Place>,
    ) -> Result<Self, Trouble> {
        let place = match &settings {
            Ok(settings) => Place { socket: settings.control.socket.clone(), state_dir: settings.state_dir.clone() },
            Err(refused) => place().ok_or_else(|| refused.clone())?,
        };
        Ok(Self { place, settings })
    }

    /// Returns the whole configuration.
    ///
    /// # Errors
    ///
    /// Why it was refused.
    pub(crate) fn settings(self) -> Result<Settings, Trouble> {
        self.settings
    }

    /// Returns how long an upload is waited for that does not move.
    pub(crate) fn give_up_after(&self) -> Duration {
        let upload = self.settings.as_ref().map(|settings| settings.upload.give_up_after);
        upload.unwrap_or_else(|_| UploadSettings::default().give_up_after)
    }

    /// Returns a client of whichever agent answers, and how to account for one
    /// that does not: with a configuration that was refused, that is the reason.
    ///
    /// # Errors
    ///
    /// When there can be no client at all.
    pub(crate) fn client(self) -> Result<(Client, impl FnOnce(Trouble) -> Trouble), Trouble> {
        let client = Client::new(&self.place.socket)?;
        let account = |trouble: Trouble| match self.settings {
            Err(refused) if trouble.exit == Exit::Unreachable => refused,
            _ => trouble,
        };
        Ok((client, account))
    }

    /// Finds who shows how things stand. Where an agent of another state
    /// directory answers, that is this process, and it says so.
    ///
    /// # Errors
    ///
    /// Why the configuration was refused, if no agent is at work in its state directory.
    pub(crate) async fn for_looking(self) -> Result<Desk, Trouble> {
        let (client, theirs) = self.ask().await?;
        match theirs {
            Some(theirs) if is_same(&theirs, &self.place.state_dir) => Ok(self.there(client)),
            Some(theirs) => {
                let elsewhere = self.elsewhere(&theirs);
                let settings = self.settings?;
                tell(&format!("not asked: {elsewhere}"));
                Ok(Desk::Here(Box::new(settings)))
            }
            None => Ok(Desk::Here(Box::new(self.settings?))),
        }
    }

    /// Finds who changes something. Where an agent of another state directory
    /// answers, nobody does: this process would begin a state of its own beside
    /// the agent that was meant.
    ///
    /// # Errors
    ///
    /// As [`Self::for_looking`], and that another agent answers.
    pub(crate) async fn for_changing(self) -> Result<Desk, Trouble> {
        let (client, theirs) = self.ask().await?;
        match theirs {
            Some(theirs) if is_same(&theirs, &self.place.state_dir) => Ok(self.there(client)),
            Some(theirs) => {
                let elsewhere = self.elsewhere(&theirs);
                self.settings?;
                let message = format!(
                    "ask the agent: {elsewhere}: name its configuration file with --config, or set control.socket to \
                     another path"
                );
                Err(Trouble::new(Exit::BadConfiguration, message))
            }
            None => Ok(Desk::Here(Box::new(self.settings?))),
        }
    }

    async fn ask(&self) -> Result<(Client, Option<PathBuf>), Trouble> {
        let client = Client::new(&self.place.socket)?;
        let theirs = client.state_dir().await;
        Ok((client, theirs))
    }

    fn there(self, client: Client) -> Desk {
        if let Err(refused) = self.settings {
            tell(&format!("{refused}; the agent at work goes by the configuration it has"));
        }
        Desk::There(client)
    }

    fn elsewhere(&self, theirs: &Path) -> String {
        let Place { socket, state_dir } = &self.place;
        let (socket, state_dir, theirs) = (socket.display(), state_dir.display(), theirs.display());
        format!("the agent that answers at {socket} has the state directory {theirs}, the configuration {state_dir}")
    }
}

fn is_same(theirs: &Path, ours: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    canonical(theirs) == canonical(ours)
}
