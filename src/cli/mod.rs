//! What the person at the terminal says and sees. The only room that wires all
//! others together.

mod args;
mod caller;
mod check;
pub mod config;
mod credentials;
mod demo;
mod events;
mod follow;
mod hardening;
mod hash;
mod input;
mod local;
pub mod logs;
mod lookup;
mod manager;
mod manual;
mod offline;
mod output;
mod reload;
mod run;
mod sandbox;
mod sessions;
mod status;
mod stores;
mod unheard;
mod upload;
mod validate;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::{LogFormat, LogSettings, Settings};

use args::{Arguments, Command};
use caller::Caller;
use hardening::Failures;

/// Runs the program and returns how it exits.
pub fn main() -> ExitCode {
    let failures = hardening::harden();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() {
                // It quotes the command line, where somebody may have put a secret.
                output::tell(error.to_string().trim_end());
                return ExitCode::from(Exit::Usage as u8);
            }
            // Help and version are no errors; a closed output is none either.
            let _ = error.print();
            return ExitCode::from(Exit::Done as u8);
        }
    };
    let exit = match begin(arguments, &failures) {
        Ok(exit) => exit,
        Err(trouble) => {
            output::tell(&format!("edm-agent: {trouble}"));
            trouble.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn begin(arguments: Arguments, failures: &Failures) -> Result<Exit, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Trouble::new(Exit::LocalIo, format!("start the runtime: {error}")))?;
    let exit = runtime.block_on(perform(arguments, failures));
    // Work on blocking threads that nobody waits for any more ends with the process.
    runtime.shutdown_background();
    exit
}

/// Returns how many threads read and send blocks: one for each core, within
/// reason, since hashing has threads of its own.
fn workers() -> usize {
    /// More would only take memory: a block in flight needs no thread.
    const MOST: usize = 8;
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(MOST)
}

async fn perform(arguments: Arguments, failures: &Failures) -> Result<Exit, Trouble> {
    let begin_log = |settings: &LogSettings| {
        logs::init(settings);
        failures.log();
    };
    let Arguments { config, json, command } = arguments;
    let is_service = matches!(command, Command::Run(_));
    let settings = || -> Result<Settings, Trouble> {
        let settings = config::load(config.as_deref(), config::variables())?;
        let mut log = settings.log.clone();
        if !is_service && log.format == LogFormat::Auto {
            // A person, or a script that shows its output to one.
            log.format = LogFormat::Text;
        }
        begin_log(&log);
        Ok(settings)
    };
    let caller = || {
        let loaded = settings();
        if loaded.is_err() {
            begin_log(&LogSettings { format: LogFormat::Text, ..LogSettings::default() });
        }
        Caller::new(loaded, || config::place(config.as_deref(), config::variables()))
    };
    match command {
        Command::Demo(arguments) => {
            let level = "error".to_owned();
            begin_log(&LogSettings { level, format: LogFormat::Text, ..LogSettings::default() });
            demo::demo(&arguments, json).await
        }
        Command::Sandbox(arguments) => {
            begin_log(&LogSettings { format: LogFormat::Text, ..LogSettings::default() });
            sandbox::sandbox(&arguments).await
        }
        Command::Run(arguments) => {
            let again = config.clone();
            let load = Arc::new(move || config::load(again.as_deref(), config::variables()));
            run::run(settings()?, load, &arguments).await
        }
        Command::Upload(arguments) => upload::upload(caller()?, &arguments, json).await,
        Command::Hash(arguments) => hash::hash(arguments, settings, json).await,
        Command::Validate(arguments) => validate::validate(arguments.input, settings, json).await,
        Command::Check(arguments) => check::check(settings()?, arguments.online, json).await,
        Command::Reload => reload::reload(caller()?, json).await,
        Command::Status => status::status(caller()?, json).await,
        Command::Sessions(command) => sessions::sessions(caller()?, command, json).await,
        Command::Events(arguments) => events::events(caller()?, &arguments).await,
        Command::Stores(command) => stores::stores(&settings()?, command, json).await,
        Command::Lookup(arguments) => lookup::lookup(&settings()?, &arguments, json).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { output } => manual::man(output.as_deref()),
    }
}
