//! The table's file: what may not be read, and what must not change meanwhile.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use edm_agent::adapters::bundle::{self, Bundle, ExitClass, HashError, HashProgress};
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::table::reader::Separator;

use super::{Desk, Stopped, blocks, separators};

/// A clock that does something whenever somebody looks at it.
struct Meddling(Box<dyn Fn() + Send + Sync>);

impl Clock for Meddling {
    fn now(&self) -> Now {
        (self.0)();
        Stopped.now()
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        Stopped.sleep_until(moment)
    }
}

#[test]
fn what_is_no_ordinary_file_is_refused_without_waiting_for_it() {
    let mut desk = Desk::rows(1);
    let path = |name: &str| desk.path(name);
    std::os::unix::fs::symlink(path("table.csv"), path("link.csv")).unwrap();
    std::fs::create_dir(path("folder.csv")).unwrap();
    make_fifo(&path("fifo.csv"));
    let _listening = std::os::unix::net::UnixListener::bind(path("socket.csv")).unwrap();
    std::fs::write(path("twice.csv"), "A,B\n1,2\n").unwrap();
    std::fs::hard_link(path("twice.csv"), path("again.csv")).unwrap();

    for name in ["link.csv", "folder.csv", "fifo.csv", "socket.csv", "twice.csv", "/dev/null"] {
        desk.order.source = desk.dir.path().join(name);
        desk.order.separator = Some(Separator::COMMA);
        let error = desk.hash().unwrap_err();
        assert!(matches!(error, HashError::SourceKind { .. }), "{name}: {error}");
        assert_eq!(error.class(), ExitClass::Configuration);
    }
    desk.order.source = desk.path("missing.csv");
    assert!(matches!(desk.hash(), Err(HashError::Open { .. })));
}

#[test]
fn a_file_name_that_does_not_tell_the_separator_needs_the_setting() {
    let mut desk = Desk::rows(1);
    desk.order.source = desk.path("table.txt");
    for separator in separators() {
        let between = char::from(separator.byte());
        std::fs::write(&desk.order.source, format!("A{between}B\n1{between}2\n")).unwrap();
        desk.order.separator = None;
        assert!(matches!(desk.hash(), Err(HashError::Separator(_))));
        desk.order.separator = Some(separator);
        assert_eq!(desk.hash_to(&format!("by-{}", separator.byte())).manifest().rows, 1);
    }
    let by = |separator: Separator| {
        blocks(&edm_agent::adapters::bundle::Bundle::open(&desk.path(&format!("by-{}", separator.byte()))).unwrap())
    };
    assert!(separators().into_iter().all(|separator| by(separator) == by(Separator::COMMA)));
}

/// A way to change a file.
pub(super) type Change = fn(&Path);

/// What may happen to a source while it is hashed.
pub(super) const CHANGES: [(&str, Change); 5] = [
    ("appended to", |path| {
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"z,z\n").unwrap();
    }),
    ("truncated", |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1_000).unwrap()),
    ("touched", |path| {
        let earlier = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(earlier).unwrap();
    }),
    ("replaced", |path| {
        std::fs::write(path.with_extension("new"), "A,B\n1,2\n").unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }),
    ("removed", |path| std::fs::remove_file(path).unwrap()),
];

/// Hashes a table that is changed once hashing has begun.
pub(super) fn change_meanwhile(desk: &Desk, change: Change) -> Result<Bundle, HashError> {
    let source = desk.order.source.clone();
    // The clock is asked once the source is open, and before a row was read.
    let meddling = Meddling(Box::new(move || change(&source)));
    bundle::hash(&desk.order, &meddling, &HashProgress::default(), &AtomicBool::new(false))
}

#[test]
fn the_manifest_tells_which_state_of_which_file_was_hashed() {
    let desk = Desk::rows(3);
    let bundle = desk.hash().unwrap();
    let source = &bundle.manifest().source;
    assert_eq!(source.name, "table.csv");
    assert_eq!(source.identity, bundle::identify(&desk.order.source).unwrap());

    std::fs::write(&desk.order.source, "A,B\n").unwrap();
    assert_ne!(source.identity, bundle::identify(&desk.order.source).unwrap());
}

pub(super) fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}
