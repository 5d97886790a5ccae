//! The managed identity of an Azure Arc machine: who asks must show that it can
//! read a file that only the right users can.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{answer, managed};
use crate::sandbox::depot::Loose;
use crate::sandbox::held;
use crate::sandbox::mint::Mint;
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::tokens::Proof;

/// The version of the endpoint.
const VERSION: &str = "2020-06-01";

/// Keys that wait to be shown; the oldest are withdrawn first.
const MOST_KEYS: usize = 64;

/// The keys that were written and not yet shown.
pub(in crate::sandbox) struct Keys {
    directory: PathBuf,
    waiting: Mutex<VecDeque<(String, Loose)>>,
}

impl Keys {
    /// Names the folder the keys will lie in, which is made for the first of them.
    pub(in crate::sandbox) fn new(directory: PathBuf) -> Self {
        Self { directory, waiting: Mutex::new(VecDeque::new()) }
    }

    pub(in crate::sandbox) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a key and returns where it lies.
    fn write(&self, mint: &Mint, size: Option<u64>) -> io::Result<PathBuf> {
        std::fs::create_dir_all(&self.directory)?;
        let path = self.directory.join(format!("{}.key", mint.guid()));
        let mut key = mint.token();
        while size.is_some_and(|size| (key.len() as u64) < size) {
            key.push('x');
        }
        let file = Loose::create(path.clone(), 0o600, &key)?;
        let mut waiting = held(&self.waiting);
        if waiting.len() == MOST_KEYS {
            waiting.pop_front();
        }
        waiting.push_back((key, file));
        Ok(path)
    }

    /// Takes a key that waits, which then is gone.
    fn take(&self, said: &str) -> bool {
        let mut waiting = held(&self.waiting);
        let found = waiting.iter().position(|(key, _)| key == said);
        found.and_then(|place| waiting.remove(place)).is_some()
    }
}

/// Answers as the agent of an Arc machine.
pub(super) fn token(service: &Service, asked: &Asked, summary: &mut String) -> Result<Reply, Refusal> {
    managed::from_this_machine(asked)?;
    if asked.route.parameter("api-version") != Some(VERSION) {
        return Err(managed::bad(format!("The api-version must be {VERSION}.")));
    }
    let (resource, client) = managed::wanted(asked, summary)?;
    let shown = asked.header("authorization").map(|said| said.strip_prefix("Basic ").unwrap_or_default());
    if !shown.is_some_and(|key| service.identity.arc.take(key)) {
        return Err(challenge(service));
    }
    let token = super::hand_out(service, asked, Proof::Exempt);
    Ok(answer::machine(service, asked, token, &resource, client))
}

/// Asks to be shown a key that is written for this.
fn challenge(service: &Service) -> Refusal {
    let quirks = &service.settings.quirks;
    match service.identity.arc.write(&service.mint, quirks.arc_key_size) {
        Ok(path) => {
            let realm = quirks.arc_realm.clone().unwrap_or_else(|| path.display().to_string());
            Refusal::no(401, "unauthorized_client", "Show the key in the file that the challenge names.")
                .with("www-authenticate", format!("Basic realm={realm}"))
        }
        Err(error) => Refusal::no(500, "unknown", format!("The sandbox could not write a key: {error}.")),
    }
}
