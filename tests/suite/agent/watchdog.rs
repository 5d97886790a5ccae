//! When the watchdog is fed, and when not.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use edm_agent::agent::dispatcher::Volume;
use edm_agent::agent::notify::Notifier;
use edm_agent::agent::watchdog::{Still, Vitals, feed};
use edm_agent::ports::journal::{Place, Pulse, Sign};
use tokio::task::JoinSet;

use super::world::{House, MINUTE, SECOND};

/// A writer that turns when somebody knocks, as long as it may.
struct Writer {
    sign: Mutex<Sign>,
    turns: bool,
}

impl Writer {
    fn at(place: Place, turns: bool) -> Arc<Self> {
        Arc::new(Self { sign: Mutex::new(Sign { turns: 7, place }), turns })
    }
}

impl Pulse for Writer {
    fn knock(&self) {
        self.sign.lock().unwrap().turns += u64::from(self.turns);
    }

    fn sign(&self) -> Sign {
        *self.sign.lock().unwrap()
    }
}

/// Who hears the food, what feeds, and the folder they meet in.
struct Watch {
    heard: UnixDatagram,
    _feeding: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Watch {
    fn over(house: &House, writer: Arc<Writer>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        heard.set_nonblocking(true).unwrap();
        let mut feeding = JoinSet::new();
        feeding.spawn(feed(vitals(house, writer), Arc::new(Notifier::at(path.as_os_str())), MINUTE));
        Self { heard, _feeding: feeding, _dir: dir }
    }

    /// Returns how often it was fed over ten minutes. The socket holds a few
    /// words only, so it is read each minute.
    async fn fed_over_ten_minutes(&self, house: &House) -> usize {
        let mut fed = 0;
        house.pass(SECOND).await;
        for _ in 0..10 {
            house.pass(MINUTE).await;
            let mut word = [0; 100];
            while let Ok(length) = self.heard.recv(&mut word) {
                assert_eq!(&word[..length], b"WATCHDOG=1");
                fed += 1;
            }
        }
        fed
    }
}

fn vitals(house: &House, writer: Arc<Writer>) -> Vitals {
    Vitals { clock: Arc::new(house.clock), asker: house.asker.clone(), beat: house.beat.clone(), writer }
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_twice_a_period_while_everything_moves() {
    let house = House::new();
    let watch = Watch::over(&house, Writer::at(Place::Waiting, true));
    assert_eq!(watch.fed_over_ten_minutes(&house).await, 20);
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_starves_when_the_dispatcher_is_gone() {
    let mut house = House::new();
    let watch = Watch::over(&house, Writer::at(Place::Waiting, true));
    house.dispatcher.abort_all();
    house.dispatcher.join_next().await.unwrap().unwrap_err();
    assert_eq!(watch.fed_over_ten_minutes(&house).await, 0);
    let still = vitals(&house, Writer::at(Place::Waiting, true)).moved(SECOND).await;
    assert_eq!(still, Err(Still::NoDispatcher));
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_starves_when_the_writer_neither_turns_nor_waits_for_its_disk_or_has_ended() {
    let house = House::new();
    for (place, still) in [(Place::Waiting, Still::Writer), (Place::Gone, Still::NoWriter)] {
        let watch = Watch::over(&house, Writer::at(place, false));
        assert_eq!(watch.fed_over_ten_minutes(&house).await, 0, "{place:?}");
        assert_eq!(vitals(&house, Writer::at(place, false)).moved(SECOND).await, Err(still));
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_or_does_not_answer_is_no_hang() {
    let house = House::new();
    let watch = Watch::over(&house, Writer::at(Place::AtDisk, false));
    house.journal.stall("the volume is full: make room");
    house.volume.clone().wait_for(|volume| *volume != Volume::Sound).await.unwrap();
    assert_eq!(watch.fed_over_ten_minutes(&house).await, 20);
}
