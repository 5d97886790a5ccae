//! The bearer tokens the API takes, and the claims challenge they may have to
//! answer.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Tokens that were handed out and are still good; the oldest go first.
const MOST_TOKENS: usize = 1_000;

/// How a token stands to claims challenges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// It answers none.
    None,
    /// It was asked for with the claim `nbf` of this value.
    NotBefore(String),
    /// Nothing is demanded of it: who asks for a managed identity's token cannot
    /// pass claims on.
    Exempt,
}

/// Whether a token is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is.
    Yes,
    /// It was never handed out, has ended or was withdrawn.
    Unknown,
    /// A new one must be fetched with these claims.
    MustAnswer(String),
}

struct Token {
    text: String,
    ends: DateTime<Utc>,
    proof: Proof,
}

/// The tokens.
pub(super) struct Tokens {
    /// The one that never ends by itself, and whether it was made since the last
    /// claims challenge.
    bearer: (String, bool),
    handed_out: Vec<Token>,
    /// What the claim `nbf` of a token must be.
    demanded: Option<i64>,
}

impl Tokens {
    pub(super) const fn new(bearer: String) -> Self {
        Self { bearer: (bearer, true), handed_out: Vec::new(), demanded: None }
    }

    /// Forgets the tokens that have ended.
    pub(super) fn advance(&mut self, now: DateTime<Utc>) {
        self.handed_out.retain(|token| now < token.ends);
    }

    /// Remembers a token that is handed out.
    pub(super) fn hand_out(&mut self, text: String, ends: DateTime<Utc>, proof: Proof) {
        if self.handed_out.len() == MOST_TOKENS {
            self.handed_out.remove(0);
        }
        self.handed_out.push(Token { text, ends, proof });
    }

    /// Returns the tokens that were handed out and not withdrawn.
    pub(super) fn good(&self) -> Vec<String> {
        self.handed_out.iter().map(|token| token.text.clone()).collect()
    }

    /// Withdraws all tokens that were handed out.
    pub(super) fn withdraw(&mut self) {
        self.handed_out.clear();
    }

    /// Withdraws the bearer token for another.
    pub(super) fn rotate(&mut self, bearer: String) {
        self.bearer = (bearer, true);
        self.withdraw();
    }

    /// Demands from now on that tokens answer a challenge, and returns the claims
    /// they must be fetched with.
    pub(super) fn demand(&mut self, now: DateTime<Utc>) -> String {
        let earliest = self.demanded.map_or(i64::MIN, |last| last + 1);
        let value = now.timestamp().max(earliest);
        self.demanded = Some(value);
        self.bearer.1 = false;
        claims(value)
    }

    pub(super) fn admits(&self, text: &str) -> Admission {
        let is_bearer = text == self.bearer.0;
        let known = self.handed_out.iter().find(|token| token.text == text);
        if !is_bearer && known.is_none() {
            return Admission::Unknown;
        }
        let Some(value) = self.demanded else { return Admission::Yes };
        let answers = match known.map(|token| &token.proof) {
            None => self.bearer.1,
            Some(Proof::None) => false,
            Some(Proof::NotBefore(said)) => *said == value.to_string(),
            Some(Proof::Exempt) => true,
        };
        if answers { Admission::Yes } else { Admission::MustAnswer(claims(value)) }
    }
}

fn claims(value: i64) -> String {
    json!({"access_token": {"nbf": {"essential": true, "value": value.to_string()}}}).to_string()
}

/// Returns what the claims of a token request prove.
pub(super) fn proof(claims: &Value) -> Proof {
    let nbf = &claims["access_token"]["nbf"];
    match nbf["value"].as_str() {
        Some(value) if nbf["essential"] == true => Proof::NotBefore(value.to_owned()),
        _ => Proof::None,
    }
}
