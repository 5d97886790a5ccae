//! Many seeds, each a world of its own: first everything goes wrong and
//! nothing may be lost or doubled, then the weather turns and the upload ends.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::record::Reports;

use super::weather::{self, STORM};
use super::world::World;

/// Seeds of an ordinary run; `UPLOAD_SEEDS` asks for more.
const SEEDS: u64 = 1_000;
/// Seeds beyond them that once found something.
const FOUND: [u64; 6] = [4_121, 7_461, 7_884, 56_986, 90_949, 96_091];

/// How long the upload may take once the weather is fair: 24 blocks of six
/// minutes each, one at a time, perhaps from the start; and the processing.
const FAIR: Duration = Duration::from_secs(6 * 3_600);

/// Runs something for each seed, and names the one that fails.
#[expect(clippy::print_stderr, reason = "a failing seed is worth more than its panic")]
fn for_each_seed(check: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("UPLOAD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("UPLOAD_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds.chain(FOUND) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("seed {seed} failed: run it again with UPLOAD_SEED={seed} UPLOAD_TELL=1");
            resume_unwind(panic);
        }
    }
}

/// Whether this world took away what no upload can do without.
fn is_excused(world: &World, failure: &Failure) -> bool {
    // What is said twice is believed.
    let lost = world.service.lost(world.time) + world.slanders / 2;
    match failure {
        Failure::SessionGone => lost >= if world.plan.is_owned() { 2 } else { 1 },
        Failure::CommitUnconfirmed => lost >= 1,
        Failure::UploadRefused => world.store.forbidden >= 3,
        Failure::CommitRefused => world.snubs >= 3,
        Failure::SessionEnded { .. }
        | Failure::UriRefused { .. }
        | Failure::BlockRefused { .. }
        | Failure::BlocksLost
        | Failure::BundleDamaged
        | Failure::CreateRefused { .. }
        | Failure::StoreMissing
        | Failure::ForeignSession { .. }
        | Failure::CountsDisagree { .. }
        | Failure::ProcessingDeadline { .. }
        | Failure::CanaryMissing => false,
    }
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_or_doubled_and_in_fair_weather_it_completes() {
    let ends = std::cell::Cell::new((0u64, 0u64));
    for_each_seed(|seed| {
        let mut world = weather::world(seed);

        world.run(STORM + FAIR);

        let (completed, excused) = ends.get();
        match world.outcome() {
            Some(Outcome::Completed) => {
                ends.set((completed + 1, excused));
                assert_eq!(world.service.commits, 1);
                let done = world.service.sessions.iter().find(|remote| remote.committed.is_some());
                let done = done.expect("it was committed");
                let is_silent = world.upload.standing().reports == Reports::Off;
                let is_counted = done.reported.last() == Some(&0);
                assert!(is_counted || is_silent || world.count("report") >= 6, "the counts end at {:?}", done.reported);
            }
            Some(Outcome::Failed(failure)) if is_excused(&world, failure) => ends.set((completed, excused + 1)),
            other => panic!("it stands at {other:?} in {:?}", world.upload.standing()),
        }
        assert!(world.upload.is_quiet());
    });
    let (completed, excused) = ends.get();
    assert!(completed >= excused * 8, "{completed} completed, {excused} had their session taken away");
}
