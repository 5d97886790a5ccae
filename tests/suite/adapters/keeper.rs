//! The keeper of the token, over a credential that does as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edm_agent::adapters::auth::credential::{Credential, FileTrouble, Granted, Mark};
use edm_agent::adapters::auth::keeper::Keeper;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::tokens::{NoToken, TokenProvider, Why};

use crate::support::clock::TokioClock;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What the credential brings, each time it is asked; the last for ever.
#[derive(Clone)]
enum Turn {
    Token(&'static str, Option<Duration>),
    Refused,
    Unreachable,
}

/// A credential that takes a second to be asked.
struct Scripted {
    clock: TokioClock,
    turns: Mutex<VecDeque<Turn>>,
    asked: Mutex<Vec<(Duration, Option<String>)>>,
    mark: Mutex<u64>,
}

impl Scripted {
    fn keeper(turns: &[Turn]) -> (Arc<Self>, Keeper) {
        let clock = TokioClock::start();
        let scripted = Arc::new(Self {
            clock,
            turns: Mutex::new(turns.iter().cloned().collect()),
            asked: Mutex::default(),
            mark: Mutex::default(),
        });
        (Arc::clone(&scripted), Keeper::new(Box::new(Shared(scripted)), Arc::new(clock), 7))
    }

    /// Returns when it was asked, in seconds since the first time.
    fn times(&self) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        let first = asked.first().map_or(Duration::ZERO, |(at, _)| *at);
        asked.iter().map(|(at, _)| (*at - first).as_secs()).collect()
    }

    /// Lets time pass, and whatever is under way go on.
    async fn pass(&self, span: Duration) {
        self.clock.sleep_until(self.clock.now().moment + span).await;
    }

    fn touch(&self) {
        *self.mark.lock().unwrap() += 1;
    }
}

struct Shared(Arc<Scripted>);

impl Credential for Shared {
    fn name(&self) -> String {
        "a scripted credential".to_owned()
    }

    fn ask<'a>(&'a self, claims: Option<&'a str>) -> Task<'a, Result<Granted, NoToken>> {
        Box::pin(async move {
            let asked = self.0.clock.now().moment;
            self.0.asked.lock().unwrap().push((asked.since_boot(), claims.map(str::to_owned)));
            let turn = {
                let mut turns = self.0.turns.lock().unwrap();
                if turns.len() > 1 { turns.pop_front() } else { turns.front().cloned() }
            };
            self.0.clock.sleep_until(asked + SECOND).await;
            match turn.unwrap() {
                Turn::Token(token, life) => Ok(Granted { token: Secret::new(token.to_owned()), asked, life }),
                Turn::Refused => Err(NoToken::refused("no: AADSTS7000222")),
                Turn::Unreachable => Err(NoToken::unreachable("nobody answers")),
            }
        })
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        vec![Some(Mark { inode: *self.0.mark.lock().unwrap(), length: 1, changed: (0, 0) })]
    }

    fn look(&self) -> Result<(), FileTrouble> {
        Ok(())
    }
}

async fn told(keeper: &Keeper) -> String {
    match keeper.token().await {
        Ok(token) => token.expose().to_owned(),
        Err(none) => format!("none: {none}"),
    }
}

/// Calls every second for a while, as a busy agent does; returns what it was told, once each.
async fn busy(keeper: &Keeper, clock: &TokioClock, span: Duration) -> Vec<String> {
    let end = clock.now().moment + span;
    let mut heard: Vec<String> = Vec::new();
    while clock.now().moment < end {
        let said = told(keeper).await;
        if heard.last() != Some(&said) && !said.starts_with("none") {
            heard.push(said);
        }
        clock.sleep_until(clock.now().moment + SECOND).await;
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_ask_once() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Token("one", Some(HOUR))]);
    let keeper = Arc::new(keeper);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let keeper = Arc::clone(&keeper);
        callers.spawn(async move { told(&keeper).await });
    }
    assert!(callers.join_all().await.iter().all(|token| token == "one"));
    assert_eq!(scripted.times().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_takes_nothing_with_it() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Token("one", Some(HOUR))]);
    let gave_up = tokio::time::timeout(SECOND / 2, keeper.token()).await;
    assert!(gave_up.is_err());
    assert_eq!(told(&keeper).await, "one");
    assert_eq!(scripted.times().len(), 1, "the question the first caller began was answered for the second");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_halfway_and_nobody_waits_for_it() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Token("one", Some(HOUR)), Turn::Token("two", Some(HOUR))]);
    told(&keeper).await;
    scripted.pass(HOUR.mul_f64(0.49)).await;
    assert_eq!(told(&keeper).await, "one");
    assert_eq!(scripted.times().len(), 1);
    scripted.pass(HOUR.mul_f64(0.12)).await;
    let asked = scripted.clock.now();
    assert_eq!(told(&keeper).await, "one", "the old one is handed out while the next is asked for");
    assert_eq!(scripted.clock.now(), asked, "at once");
    scripted.pass(SECOND * 2).await;
    assert_eq!(told(&keeper).await, "two");
    assert_eq!(scripted.times().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_with_the_old_token_to_its_end_and_the_authority_is_asked_ever_more_rarely() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Token("one", Some(HOUR)), Turn::Unreachable]);
    let heard = busy(&keeper, &scripted.clock, HOUR * 2).await;

    assert_eq!(heard, ["one"]);
    let times = scripted.times();
    let (before, after): (Vec<_>, Vec<_>) = times[1..].iter().partition(|&&at| at < 3_600);
    assert!((1_800..2_160).contains(before[0]), "{times:?}");
    assert!((20..80).contains(&before.len()), "about one a minute: {times:?}");
    assert!((50..140).contains(&after.len()), "{times:?}");
    let none = keeper.token().await.err().unwrap();
    assert_eq!(none.why, Why::Unreachable { retry_after: None });
    assert!(none.message.contains("nobody answers") && none.message.contains("asked again in"), "{none}");
    assert!(!keeper.sign_in().has_token);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_tried_every_five_minutes_and_at_once_when_its_file_changes() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Refused]);
    assert_eq!(busy(&keeper, &scripted.clock, HOUR).await, Vec::<String>::new());
    let times = scripted.times();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 300) && times.len() >= 11, "{times:?}");
    assert!(keeper.sign_in().trouble.unwrap().contains("AADSTS7000222"));

    *scripted.turns.lock().unwrap() = VecDeque::from([Turn::Token("mended", Some(HOUR))]);
    scripted.touch();
    scripted.pass(SECOND * 6).await;
    assert_eq!(told(&keeper).await, "mended", "the change was seen, not waited out");
    assert_eq!(keeper.sign_in().trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_a_file_is_read_again_when_the_file_changes() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Token("one", None), Turn::Token("two", None)]);
    assert_eq!(busy(&keeper, &scripted.clock, HOUR * 30).await, ["one"], "without a change it is good for ever");
    assert_eq!(scripted.times().len(), 1);
    scripted.touch();
    assert_eq!(busy(&keeper, &scripted.clock, MINUTE).await, ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_and_the_next_one_is_not_before_a_minute_has_passed() {
    let tokens = [Turn::Token("one", Some(HOUR)), Turn::Token("two", Some(HOUR)), Turn::Token("three", Some(HOUR))];
    let (scripted, keeper) = Scripted::keeper(&tokens);
    let one = keeper.token().await.unwrap();
    keeper.refused(&one, None);
    assert_eq!(told(&keeper).await, "two");
    keeper.refused(&one, None);
    assert_eq!(told(&keeper).await, "two", "a late word about the first says nothing of the second");

    let two = keeper.token().await.unwrap();
    for _ in 0..1_000 {
        keeper.refused(&two, None);
        assert_eq!(told(&keeper).await, "two");
    }
    assert_eq!(scripted.times().len(), 2, "a service that refuses everything does not make the authority suffer");
    scripted.pass(MINUTE).await;
    keeper.refused(&two, None);
    assert_eq!(told(&keeper).await, "three");
}

#[tokio::test(start_paused = true)]
async fn a_challenge_is_answered_once_with_the_claims_it_asks_for() {
    let (scripted, keeper) = Scripted::keeper(&[Turn::Token("one", Some(HOUR)), Turn::Token("two", Some(HOUR))]);
    let one = keeper.token().await.unwrap();
    keeper.refused(&one, Some(r#"{"access_token":{}}"#));
    let two = keeper.token().await.unwrap();
    assert_eq!(two.expose(), "two", "however fresh the first was");
    let claims: Vec<_> = scripted.asked.lock().unwrap().iter().map(|(_, claims)| claims.clone()).collect();
    assert_eq!(claims, [None, Some(r#"{"access_token":{}}"#.to_owned())]);

    scripted.pass(HOUR).await;
    told(&keeper).await;
    assert_eq!(scripted.asked.lock().unwrap().last().unwrap().1, None, "the challenge was answered");
}
