//! The keeper of the token: asks for it once for all callers, well before it
//! ends, and hands the old one out while it lasts.
//!
//! All waiting for tokens is here. A credential is asked once at a time, in a
//! task of the keeper's own, so that a caller that gives up takes nothing with
//! it. A refused credential is tried again every five minutes, or as soon as one
//! of its files has changed; an authority that cannot be reached, at a growing
//! pace.
//!
//! # Invariants
//!
//! - No caller waits while a token is held that is good.
//! - However many callers there are, at most one question is under way.
//! - A token the service refused is replaced, once a minute at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::credential::{Credential, Granted, Mark};
use crate::ground::chance::draw;
use crate::ground::moment::Moment;
use crate::ground::secret::Secret;
use crate::ground::units::Span;
use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::ports::tokens::{NoToken, SignIn, TokenProvider, Why};
use crate::upload::pace::Pace;

/// How often the credential's files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The part of a token's life after which it is renewed: early enough for
/// nearly half of the life to be left for trying again.
const RENEW: [f64; 2] = [0.50, 0.60];

/// What must be left of a token for it to be handed out: a request takes time.
const SPARE: Duration = Duration::from_secs(10);

/// How long after a token was replaced because the service refused it the next
/// one is kept, refused or not: a service that refuses the second as well does not
/// mean the token, and asking on and on would only burden the authority.
const REPLACE_EVERY: Duration = Duration::from_secs(60);

/// The waits after an authority that could not be reached: the first and the longest.
const UNREACHABLE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// The wait after a refusal. Somebody has to mend it; until then, asking often
/// only fills the authority's log and may lock the identity out.
const REFUSED: Duration = Duration::from_secs(300);

/// Hands out the tokens of one credential.
pub struct Keeper(Arc<Inner>);

struct Inner {
    credential: Box<dyn Credential>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    seed: u64,
    state: Mutex<State>,
    /// Counts answers, to wake whoever waits for one.
    answers: watch::Sender<u64>,
}

struct State {
    held: Option<Held>,
    is_asking: bool,
    pace: Pace,
    trouble: Option<NoToken>,
    claims: Option<String>,
    noticed: Option<String>,
    /// When a token was last given up because the service refused it.
    replaced: Option<Moment>,
    marks: Vec<Option<Mark>>,
    looked: Moment,
    asked: u64,
}

/// A token in hand.
struct Held {
    token: Secret,
    renew_at: Option<Moment>,
    ends: Option<Moment>,
}

/// What a caller gets.
enum Turn {
    Have(Secret),
    Fail(NoToken),
    Wait,
}

impl Keeper {
    /// Keeps the tokens of a credential; nothing is asked until somebody needs
    /// one. Must be called inside a tokio runtime, whose tasks then ask.
    pub fn new(credential: Box<dyn Credential>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let state = State {
            held: None,
            is_asking: false,
            pace: Pace::new(seed),
            trouble: None,
            claims: None,
            noticed: None,
            replaced: None,
            marks: credential.marks(),
            looked: clock.now().moment,
            asked: 0,
        };
        let (answers, _) = watch::channel(0);
        let runtime = Handle::current();
        Self(Arc::new(Inner { credential, clock, runtime, seed, state: Mutex::new(state), answers }))
    }

    async fn current(&self) -> Result<Secret, NoToken> {
        let mut answers = self.0.answers.subscribe();
        loop {
            answers.mark_unchanged();
            match self.turn() {
                Turn::Have(token) => return Ok(token),
                Turn::Fail(none) => return Err(none),
                // The sender is ours, so this only ends with an answer.
                Turn::Wait => drop(answers.changed().await),
            }
        }
    }

    /// Starts asking if it is time to, and says what a caller gets meanwhile.
    fn turn(&self) -> Turn {
        let inner = &self.0;
        let now = inner.clock.now().moment;
        let mut state = inner.state();
        inner.look(&mut state, now);
        let is_due = state.held.as_ref().is_none_or(|held| held.renew_at.is_some_and(|at| at <= now));
        if is_due && !state.is_asking && state.pace.not_before() <= now {
            state.is_asking = true;
            let claims = state.claims.clone();
            drop(inner.runtime.spawn(Arc::clone(inner).ask(claims)));
        }
        match state.held.as_ref().filter(|held| held.is_good(now)) {
            Some(held) => Turn::Have(held.token.clone()),
            None if state.is_asking => Turn::Wait,
            None => Turn::Fail(state.failure(now)),
        }
    }
}

impl TokenProvider for Keeper {
    fn token(&self) -> Task<'_, Result<Secret, NoToken>> {
        Box::pin(self.current())
    }

    fn refused(&self, token: &Secret, claims: Option<&str>) {
        let now = self.0.clock.now().moment;
        let mut state = self.0.state();
        let Some(held) = state.held.as_ref().filter(|held| held.token.expose() == token.expose()) else { return };
        let is_patient = held.ends.is_some() && state.replaced.is_some_and(|at| at.until(now) < REPLACE_EVERY);
        let is_asked_for = claims.is_some_and(|claims| state.claims.as_deref() != Some(claims));
        if is_asked_for {
            state.claims = claims.map(str::to_owned);
        }
        if is_asked_for || !is_patient {
            state.held = None;
            state.replaced = Some(now);
        }
    }

    fn sign_in(&self) -> SignIn {
        let now = self.0.clock.now().moment;
        let state = self.0.state();
        SignIn {
            has_token: state.held.as_ref().is_some_and(|held| held.is_good(now)),
            trouble: state.trouble.as_ref().map(|none| none.message.clone()),
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the credential's files have changed: then what was wrong
    /// may be mended, and a token that is itself such a file is another one.
    fn look(&self, state: &mut State, now: Moment) {
        if state.looked.until(now) < LOOK_EVERY {
            return;
        }
        state.looked = now;
        let marks = self.credential.marks();
        if marks == state.marks {
            return;
        }
        state.marks = marks;
        if state.trouble.is_some() {
            state.pace = Pace::new(self.seed);
        }
        if let Some(held) = state.held.as_mut().filter(|held| held.ends.is_none()) {
            held.renew_at = Some(now);
        }
    }

    /// Asks once and takes the answer in.
    async fn ask(self: Arc<Self>, claims: Option<String>) {
        let marks = self.credential.marks();
        let answer = self.credential.ask(claims.as_deref()).await;
        let now = self.clock.now().moment;
        let mut state = self.state();
        state.is_asking = false;
        // Marks from before the files were read: a change since then is seen.
        state.marks = marks;
        match answer {
            Ok(granted) => self.granted(&mut state, granted, claims.as_deref()),
            Err(none) => self.failed(&mut state, none, now),
        }
        drop(state);
        self.answers.send_modify(|answers| *answers += 1);
    }

    fn granted(&self, state: &mut State, granted: Granted, claims: Option<&str>) {
        let Granted { token, asked, life } = granted;
        let [from, to] = RENEW;
        let share = from + (to - from) * draw(self.seed, state.asked);
        state.asked += 1;
        state.held = Some(Held {
            token,
            renew_at: life.map(|life| asked + life.mul_f64(share)),
            ends: life.map(|life| asked + life),
        });
        if state.claims.as_deref() == claims {
            state.claims = None;
        }
        state.pace = Pace::new(self.seed ^ state.asked);
        if state.trouble.take().is_some() || state.asked == 1 {
            let life = life.map(|life| Span(life).to_string());
            tracing::info!(credential = %self.credential.name(), life, "signed in");
        }
        let notice = self.credential.notice();
        if let Some(notice) = notice.as_ref().filter(|_| notice != state.noticed) {
            tracing::warn!("{notice}");
        }
        state.noticed = notice;
    }

    fn failed(&self, state: &mut State, none: NoToken, now: Moment) {
        match none.why {
            Why::Refused => state.pace.failed(now, REFUSED, REFUSED, None),
            Why::Unreachable { retry_after } => {
                let [first, longest] = UNREACHABLE;
                state.pace.failed(now, first, longest, retry_after);
            }
        }
        if state.trouble.as_ref() != Some(&none) {
            let has_token = state.held.as_ref().is_some_and(|held| held.is_good(now));
            let meanwhile = if has_token { "the token in hand is used while it lasts" } else { "nothing can be asked" };
            tracing::warn!("{none}; {meanwhile}");
        }
        state.trouble = Some(none);
    }
}

impl State {
    /// Returns why there is no token, with what was last said.
    fn failure(&self, now: Moment) -> NoToken {
        let wait = Span(now.until(self.pace.not_before()));
        match &self.trouble {
            Some(none) => NoToken { message: format!("{none} (asked again in {wait})"), why: none.why },
            None => NoToken::unreachable(format!("sign in: the token has ended, another is asked for in {wait}")),
        }
    }
}

impl Held {
    fn is_good(&self, now: Moment) -> bool {
        self.ends.is_none_or(|ends| now + SPARE < ends)
    }
}
