//! `sandbox`: the service in a box.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::SandboxArguments;
use super::credentials::Credentials;
use super::output::say;
use crate::adapters::clock::SystemClock;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::signals::{self, Wish};
use crate::sandbox::{Sandbox, SandboxSettings, StoreSpec, parse_script};

/// The largest script that is read, in bytes.
const SCRIPT_LIMIT: u64 = 1 << 20;

pub(crate) async fn sandbox(arguments: &SandboxArguments) -> Result<Exit, Trouble> {
    let mut settings = SandboxSettings {
        listen: arguments.listen,
        session_ttl: arguments.session_ttl,
        upload_uri_ttl: arguments.upload_uri_ttl,
        processing_time: arguments.processing_time,
        sessions_per_day: arguments.sessions_per_day,
        seed: arguments.seed,
        tls: arguments.tls,
        names: arguments.names.clone(),
        // The settings that are printed are for an agent that starts elsewhere.
        ca_file: arguments.ca_file.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        arc_key_dir: arguments.credentials.as_ref().map(|folder| folder.join("arc-keys")),
        ..SandboxSettings::default()
    };
    settings.stores.extend(arguments.stores.iter().map(|name| StoreSpec::named(name)));
    if let Some(path) = &arguments.faults {
        (settings.faults, settings.quirks) = read_script(path)?;
    }
    let mut wishes =
        signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
    let sandbox = Sandbox::start(settings, Arc::new(SystemClock)).await.map_err(|error| {
        let listen = arguments.listen;
        let advice = "if the address is taken, give --listen a free one";
        Trouble::new(Exit::LocalIo, format!("start the sandbox on {listen}: {error}; {advice}"))
    })?;
    let token_file = match &arguments.token_file {
        Some(path) => path.clone(),
        None => default_token_file(sandbox.address().port()),
    };
    write_token(&token_file, sandbox.bearer())?;
    let credentials =
        arguments.credentials.as_deref().map(|folder| Credentials::write(&sandbox, folder)).transpose()?;
    let token_file = token_file.canonicalize().unwrap_or(token_file);
    say(&sandbox.settings_toml(&token_file));
    if let Some(credentials) = &credentials {
        say(&credentials.explain(&sandbox));
    }
    while wishes.recv().await == Some(Wish::Reload) {}
    sandbox.stop().await;
    // Whoever removed it already did what is done here.
    let _ = std::fs::remove_file(&token_file);
    Ok(Exit::Done)
}

fn default_token_file(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("edm-agent-sandbox-{port}.token"))
}

/// Writes the bearer token to a new file only its owner can read.
pub(crate) fn write_token(path: &Path, token: &str) -> Result<(), Trouble> {
    write_secret(path, format!("{token}\n").as_bytes())
}

/// Writes a secret to a new file only its owner can read.
pub(super) fn write_secret(path: &Path, secret: &[u8]) -> Result<(), Trouble> {
    let failed =
        |error: std::io::Error| Trouble::new(Exit::LocalIo, format!("write the file {}: {error}", path.display()));
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(secret).map_err(failed)
}

fn read_script(path: &Path) -> Result<(Vec<crate::sandbox::Fault>, crate::sandbox::Quirks), Trouble> {
    let shown = path.display();
    let failed =
        |error: std::io::Error| Trouble::new(Exit::BadConfiguration, format!("read the script {shown}: {error}"));
    if std::fs::metadata(path).map_err(failed)?.len() > SCRIPT_LIMIT {
        return Err(Trouble::new(Exit::BadConfiguration, format!("read the script {shown}: it is far too large")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse_script(&text)
        .map_err(|error| Trouble::new(Exit::BadConfiguration, format!("read the script {shown}: {error}")))
}
