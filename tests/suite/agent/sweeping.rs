//! What the agent clears away in its own folder.

use std::time::SystemTime;

use edm_agent::adapters::bundle::REPORT_SUFFIX;
use edm_agent::agent::housekeeping;
use edm_agent::ports::clock::Clock;

use super::world::House;

#[tokio::test(start_paused = true)]
async fn a_report_of_rejected_rows_goes_when_it_is_old_and_no_earlier() {
    let house = House::with(|_| ());
    let dir = house.settings.bundle_dir();
    std::fs::create_dir_all(&dir).unwrap();
    for (name, is_old) in [("old", true), ("new", false)] {
        let file = std::fs::File::create(dir.join(format!("{name}{REPORT_SUFFIX}"))).unwrap();
        file.set_modified(if is_old { SystemTime::UNIX_EPOCH } else { house.clock.now().wall.into() }).unwrap();
    }

    housekeeping::sweep(&house.intake()).await;

    let left: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["new.rejects.csv"]);
}
