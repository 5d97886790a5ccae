//! What the process does before it reads a secret: it may not be dumped or
//! looked into by others of its user, and what it makes is its owner's alone.
//!
//! None of it is worth not starting for: the service manager may have done the
//! same, or forbidden it.

use std::panic::{self, PanicHookInfo};

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

use super::output::tell;

/// What could not be done, to be logged once there is a log.
pub(crate) struct Failures(Vec<String>);

/// Does it.
pub(crate) fn harden() -> Failures {
    panic::set_hook(Box::new(tell_where));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let done = [
        ("forbid others to look into the process", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        ("forbid core files", setrlimit(Resource::Core, none)),
    ];
    umask(Mode::RWXG | Mode::RWXO);
    Failures(done.into_iter().filter_map(|(step, done)| Some(format!("{step}: {}", done.err()?))).collect())
}

impl Failures {
    /// Logs them.
    pub(crate) fn log(&self) {
        for failure in &self.0 {
            tracing::debug!(failure, "the process is less closed than it could be");
        }
    }
}

/// Says where a panic was, and not what it said: that may quote anything.
fn tell_where(panic: &PanicHookInfo<'_>) {
    tell(&describe(panic));
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), |place| format!("{}:{}", place.file(), place.line()));
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    format!("edm-agent: this is a mistake in the program: panicked at {place} in thread {name}; please report it")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_is_told_by_its_place_and_never_by_what_it_said() {
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        panic::set_hook(Box::new(move |panic| heard.lock().unwrap().push_str(&describe(panic))));

        let thread = std::thread::Builder::new().name("careless".to_owned());
        let ended = thread.spawn(|| panic!("canary {}", 1)).unwrap().join();

        drop(panic::take_hook());
        let said = said.lock().unwrap();
        assert!(ended.is_err() && said.contains("src/cli/hardening.rs:") && said.contains("careless"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
