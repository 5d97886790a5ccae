//! Reads a script: `[[fault]]` tables and one `[quirks]` table, in TOML.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::faults::{Action, BodyOverride, Cut, Fault, Refuse, Trigger};
use super::operation::Operation;
use super::quirks::{Quirks, some_duration};

/// Why a script could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the script, line {line}: {what}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there and what would be accepted.
    pub what: String,
}

/// Reads a script.
///
/// # Errors
///
/// Names the line and what would be accepted there.
pub fn parse_script(text: &str) -> Result<(Vec<Fault>, Quirks), ScriptError> {
    let script: Script = toml::from_str(text).map_err(|error| ScriptError {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        what: error.message().to_owned(),
    })?;
    let read = |line: Spanned<FaultText>| {
        let at = line_of(text, line.span().start);
        line.into_inner().read().map_err(|what| ScriptError { line: at, what })
    };
    Ok((script.fault.into_iter().map(read).collect::<Result<_, _>>()?, script.quirks))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    fault: Vec<Spanned<FaultText>>,
    #[serde(default)]
    quirks: Quirks,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// A fault as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    operation: OneOrMany<String>,
    nth: Option<OneOrMany<u64>>,
    every: Option<u64>,
    probability: Option<f64>,
    #[serde(default)]
    always: bool,
    count: Option<u64>,
    #[serde(default, deserialize_with = "some_duration")]
    delay: Option<Duration>,
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    retry_after: Option<String>,
    #[serde(default)]
    early: bool,
    #[serde(default)]
    early_403: bool,
    cut: Option<String>,
    #[serde(default)]
    lost_reply: bool,
    #[serde(default, deserialize_with = "some_duration")]
    drip: Option<Duration>,
    body: Option<String>,
    body_text: Option<String>,
    echo: Option<String>,
    forget_blocks: Option<usize>,
    #[serde(default)]
    lose_session: bool,
}

impl FaultText {
    fn read(self) -> Result<Fault, String> {
        let (count, delay) = (self.count, self.delay);
        let trigger = self.trigger()?;
        let operations = self.operations()?;
        let action = self.action()?;
        Ok(Fault { operations, trigger, count, delay, action })
    }

    fn operations(&self) -> Result<Vec<Operation>, String> {
        let names = match &self.operation {
            OneOrMany::One(name) => std::slice::from_ref(name),
            OneOrMany::Many(names) => names,
        };
        let known = |name: &String| Operation::named(name).ok_or_else(|| unknown_operation(name));
        names.iter().map(known).collect()
    }

    fn trigger(&self) -> Result<Trigger, String> {
        let nth = self.nth.as_ref().map(|nth| match nth {
            OneOrMany::One(call) => Trigger::Nth(vec![*call]),
            OneOrMany::Many(calls) => Trigger::Nth(calls.clone()),
        });
        let given = [
            nth,
            self.every.map(Trigger::Every),
            self.probability.map(Trigger::Probability),
            self.always.then_some(Trigger::Always),
        ];
        let mut given = given.into_iter().flatten();
        let (Some(trigger), None) = (given.next(), given.next()) else {
            return Err("say when: one of nth, every, probability, or always = true".to_owned());
        };
        match &trigger {
            Trigger::Every(0) => Err("every counts from 1".to_owned()),
            Trigger::Probability(chance) if !(0.0..=1.0).contains(chance) => {
                Err("a probability lies between 0 and 1".to_owned())
            }
            Trigger::Nth(calls) if calls.contains(&0) => Err("nth counts from 1".to_owned()),
            Trigger::Always | Trigger::Nth(_) | Trigger::Every(_) | Trigger::Probability(_) => Ok(trigger),
        }
    }

    fn action(self) -> Result<Action, String> {
        let refuse = |status| Refuse {
            status,
            code: self.code.clone(),
            message: self.message.clone(),
            retry_after: self.retry_after.clone(),
            early: self.early || self.early_403,
        };
        let cut = self.cut.as_deref().map(read_cut).transpose()?;
        let body = self.body.as_deref().map(read_body).transpose()?;
        let echo = self.echo.as_deref().map(read_echo).transpose()?;
        if let Some(status) = self.status.filter(|status| !(200..=599).contains(status)) {
            return Err(format!("{status} is no status of an answer: use 200 to 599"));
        }
        let given = [
            self.status.map(|status| Action::Refuse(refuse(status))),
            self.early_403.then(|| Action::Refuse(refuse(403))),
            cut.map(Action::Cut),
            self.lost_reply.then_some(Action::LostReply),
            self.drip.map(Action::Drip),
            body.map(Action::Body),
            self.body_text.clone().map(|text| Action::Body(BodyOverride::Text(text))),
            echo.map(Action::Echo),
            self.forget_blocks.map(Action::ForgetBlocks),
            self.lose_session.then_some(Action::LoseSession),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next(), self.delay) {
            (Some(action), None, _) => Ok(action),
            (None, _, Some(_)) => Ok(Action::Delay),
            _ => Err("say what: delay and at most one of status, early_403, cut, lost_reply, drip, body, body_text, \
                      echo, forget_blocks, lose_session"
                .to_owned()),
        }
    }
}

fn read_cut(word: &str) -> Result<Cut, String> {
    match word {
        "before" => Ok(Cut::Before),
        "after-body" => Ok(Cut::AfterBody),
        "mid-answer" => Ok(Cut::MidAnswer),
        _ => Err(format!("a connection is cut \"before\", \"after-body\" or \"mid-answer\", not \"{word}\"")),
    }
}

fn read_body(word: &str) -> Result<BodyOverride, String> {
    match word {
        "null" => Ok(BodyOverride::Null),
        "empty" => Ok(BodyOverride::Empty),
        "html" => Ok(BodyOverride::Html),
        "truncated" => Ok(BodyOverride::Truncated),
        _ => Err(format!("a body is \"null\", \"empty\", \"html\" or \"truncated\", not \"{word}\"; see body_text")),
    }
}

fn read_echo(word: &str) -> Result<bool, String> {
    match word {
        "wrong" => Ok(true),
        "none" => Ok(false),
        _ => Err(format!("an echo is \"wrong\" or \"none\", not \"{word}\"")),
    }
}

fn unknown_operation(name: &str) -> String {
    let closeness = |known: &&Operation| (strsim::jaro_winkler(known.name(), name) * 1e6) as u32;
    let nearest = Operation::ALL.iter().max_by_key(closeness).map_or("", |operation| operation.name());
    format!("there is no operation \"{name}\", perhaps \"{nearest}\"")
}
