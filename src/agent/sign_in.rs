//! Signing in as the settings say, and staying signed in.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::exit::{Exit, Trouble};
use super::outside;
use super::settings::{AuthKind, Settings};
use crate::adapters::auth::application::Application;
use crate::adapters::auth::authority::{Authority, AuthoritySettings};
use crate::adapters::auth::credential::{Credential, FileTrouble};
use crate::adapters::auth::keeper::Keeper;
use crate::adapters::auth::token_file::TokenFile;
use crate::adapters::entropy;
use crate::ports::clock::Clock;
use crate::ports::tokens::TokenProvider;

/// How often the service looks whether its token is due, or may be had again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Makes the one provider of tokens of this process; nothing is asked yet.
/// Must be called inside a tokio runtime.
///
/// # Errors
///
/// Says which setting is wrong, or which file can never be right. A file that is
/// missing is no error: whoever brings it may come later.
pub fn tokens(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn TokenProvider>, Trouble> {
    let credential = credential(settings, clock)?;
    match credential.look() {
        Ok(()) | Err(FileTrouble::Missing(_)) => (),
        Err(FileTrouble::Unusable(what)) => return Err(Trouble::new(Exit::BadConfiguration, what)),
    }
    let seed = entropy::seed().map_err(|error| Trouble::new(Exit::LocalIo, error.to_string()))?;
    Ok(Arc::new(Keeper::new(credential, Arc::clone(clock), seed)))
}

/// Looks whether the credential's files are of use, all of them there.
///
/// # Errors
///
/// Says which setting is wrong, or what is wrong with which file.
pub fn look(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<(), Trouble> {
    credential(settings, clock)?.look().map_err(|trouble| match trouble {
        FileTrouble::Missing(what) => Trouble::new(Exit::NotPermitted, what),
        FileTrouble::Unusable(what) => Trouble::new(Exit::BadConfiguration, what),
    })
}

/// Stays signed in, for as long as the service runs: a token is there before
/// somebody needs it, and once what was wrong is mended.
pub async fn keep(tokens: Arc<dyn TokenProvider>, clock: Arc<dyn Clock>) -> Infallible {
    loop {
        // What goes wrong is kept, and said, by the provider.
        let _ = tokens.token().await;
        clock.sleep_until(clock.now().moment + LOOK_EVERY).await;
    }
}

/// Makes the credential the settings name.
fn credential(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Box<dyn Credential>, Trouble> {
    let auth = &settings.auth;
    let clock = Arc::clone(clock);
    Ok(match auth.kind {
        AuthKind::TokenFile => {
            let path = file(&auth.token_file, "token-file", "token_file, the file that holds the bearer token")?;
            Box::new(TokenFile::new(path, clock))
        }
        AuthKind::ClientSecret => {
            let path = file(&auth.secret_file, "client-secret", "secret_file, the file that holds the secret")?;
            Box::new(Application::with_secret(authority(settings)?, path, clock))
        }
        AuthKind::ClientCertificate | AuthKind::WorkloadIdentity | AuthKind::ManagedIdentity => {
            return Err(refused("read [auth]: not yet"));
        }
    })
}

/// Makes the client of the authority.
fn authority(settings: &Settings) -> Result<Authority, Trouble> {
    let (auth, http) = (&settings.auth, outside::http(settings)?);
    let address = match auth.authority.as_str() {
        "" => settings.graph.cloud.places().login,
        address => address,
    };
    let settings = AuthoritySettings {
        address: address.to_owned(),
        tenant: auth.tenant_id.clone(),
        client: auth.client_id.clone(),
        scope: scope(settings),
    };
    Authority::new(settings, http).map_err(|error| refused(error.to_string()))
}

/// Returns what tokens are for: everything the application may do at the service.
pub fn scope(settings: &Settings) -> String {
    if !settings.auth.scope.is_empty() {
        return settings.auth.scope.clone();
    }
    let root = settings.graph.root();
    let origin = Url::parse(&root).map(|url| url.origin().ascii_serialization());
    format!("{}/.default", origin.unwrap_or(root))
}

/// Finds the file of a credential: a bare name is one of systemd's.
fn file(path: &Path, kind: &str, key: &str) -> Result<PathBuf, Trouble> {
    if path.as_os_str().is_empty() {
        return Err(refused(format!("read [auth]: kind = \"{kind}\" needs {key}")));
    }
    Ok(outside::credential(path))
}

fn refused(message: impl Into<String>) -> Trouble {
    Trouble::new(Exit::BadConfiguration, message)
}
