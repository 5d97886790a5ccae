//! Connections that lived through a suspension of the host.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use edm_agent::adapters::http::{HttpSettings, Pool, Versions};
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;

use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

/// A clock whose host is suspended when the test says so.
struct Sleepy {
    clock: TokioClock,
    suspended: Mutex<Duration>,
}

impl Sleepy {
    fn suspend(&self, span: Duration) {
        *self.suspended.lock().unwrap() += span;
    }
}

impl Clock for Sleepy {
    fn now(&self) -> Now {
        self.clock.now()
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        self.clock.sleep_until(moment)
    }

    fn suspended(&self) -> Duration {
        *self.suspended.lock().unwrap()
    }
}

#[tokio::test]
async fn after_a_suspension_the_next_request_opens_a_new_connection_and_the_one_after_keeps_it() {
    let mock = Mock::start().await;
    let clock = Arc::new(Sleepy { clock: TokioClock::start(), suspended: Mutex::new(Duration::from_secs(90)) });
    let http = HttpSettings { plain_only: true, ..HttpSettings::default() };
    let pool = Pool::new(http, Versions::Any, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let ask = async || {
        mock.then(Reply::json(200, "{}"));
        let pooled = pool.current();
        pooled.exchange(pooled.client.get(mock.url()), 100).await.map_err(|no| no.detail).unwrap();
        mock.take_one().connection
    };
    assert_eq!((ask().await, ask().await), (0, 0), "what was before the client is of no matter");
    clock.suspend(Duration::from_secs(60));
    assert_eq!((ask().await, ask().await), (1, 1));
    clock.suspend(Duration::from_secs(1));
    assert_eq!(ask().await, 1, "a blink is no suspension");
    clock.suspend(Duration::from_secs(2));
    assert_eq!(ask().await, 2, "two that add up are one");
}
