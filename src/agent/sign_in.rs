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
use crate::adapters::auth::certificate::CertificateFile;
use crate::adapters::auth::credential::{Credential, FileTrouble};
use crate::adapters::auth::keeper::Keeper;
use crate::adapters::auth::managed::{ManagedIdentity, ManagedSettings};
use crate::adapters::auth::surroundings::Surroundings;
use crate::adapters::auth::token_file::TokenFile;
use crate::adapters::auth::workload::FederatedToken;
use crate::adapters::entropy;
use crate::ports::clock::Clock;
use crate::ports::service::SessionService;
use crate::ports::tokens::TokenProvider;

/// How often the service looks whether its token is due, or may be had again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often a service that refuses every token is asked whether it still does.
const ASK_EVERY: Duration = Duration::from_secs(300);

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

/// Looks whether the credential's files are of use, all of them there, and
/// returns what should be done about them before long.
///
/// # Errors
///
/// Says which setting is wrong, or what is wrong with which file.
pub fn look(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Option<String>, Trouble> {
    let credential = credential(settings, clock)?;
    match credential.look() {
        Ok(()) => Ok(credential.notice()),
        Err(FileTrouble::Missing(what)) => Err(Trouble::new(Exit::NotPermitted, what)),
        Err(FileTrouble::Unusable(what)) => Err(Trouble::new(Exit::BadConfiguration, what)),
    }
}

/// Stays signed in, for as long as the service runs: a token is there before
/// somebody needs it, and once what was wrong is mended. A service that refuses
/// the tokens is asked now and then whether it still does.
pub async fn keep(
    tokens: Arc<dyn TokenProvider>,
    service: Arc<dyn SessionService>,
    clock: Arc<dyn Clock>,
) -> Infallible {
    let mut asked = clock.now().moment;
    loop {
        // What goes wrong is kept, and said, by the provider.
        let _ = tokens.token().await;
        let now = clock.now().moment;
        if tokens.sign_in().is_refused && asked.until(now) >= ASK_EVERY {
            asked = now;
            let _ = service.stores().await;
        }
        clock.sleep_until(clock.now().moment + LOOK_EVERY).await;
    }
}

/// Makes the credential the settings name. What they leave open, the surroundings say.
fn credential(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Box<dyn Credential>, Trouble> {
    let auth = &settings.auth;
    let clock = Arc::clone(clock);
    let surroundings = Surroundings::from_environment();
    Ok(match auth.kind {
        AuthKind::TokenFile => {
            let path = file(&auth.token_file, "token-file", "token_file, the file that holds the bearer token")?;
            Box::new(TokenFile::new(path, clock))
        }
        AuthKind::ClientSecret => {
            let path = file(&auth.secret_file, "client-secret", "secret_file, the file that holds the secret")?;
            Box::new(Application::with_secret(authority(settings, None, &clock)?, path, clock))
        }
        AuthKind::ClientCertificate => {
            let needs = "certificate_file, the file that holds the certificate and its key";
            let path = file(&auth.certificate_file, "client-certificate", needs)?;
            let password = Some(&auth.certificate_password_file).filter(|path| !path.as_os_str().is_empty());
            let password = password.map(|path| outside::credential(path));
            let file = CertificateFile::new(path, password);
            Box::new(Application::with_certificate(authority(settings, None, &clock)?, file, clock))
        }
        AuthKind::WorkloadIdentity => {
            let token = FederatedToken::new(&outside::credential(&auth.token_file), &surroundings);
            let token = token.ok_or_else(|| {
                refused(
                    "read [auth]: kind = \"workload-identity\" needs token_file, or the variable \
                     AZURE_FEDERATED_TOKEN_FILE that the cluster sets for a labelled pod",
                )
            })?;
            Box::new(Application::with_federated(authority(settings, Some(&surroundings), &clock)?, token, clock))
        }
        AuthKind::ManagedIdentity => {
            let managed = ManagedSettings {
                client: Some(auth.client_id.clone()).filter(|client| !client.is_empty()),
                scope: scope(settings),
                arc_key_dir: auth.arc_key_dir.clone(),
            };
            let http = outside::http(settings)?;
            let identity = ManagedIdentity::new(&surroundings, managed, http, clock);
            Box::new(identity.map_err(|error| refused(error.to_string()))?)
        }
    })
}

/// Makes the client of the authority. What is not set is taken from the
/// surroundings, if they are given, and then from the cloud.
fn authority(
    settings: &Settings,
    surroundings: Option<&Surroundings>,
    clock: &Arc<dyn Clock>,
) -> Result<Authority, Trouble> {
    let auth = &settings.auth;
    let set = |own: &str, theirs: fn(&Surroundings) -> &Option<String>| match own {
        "" => surroundings.and_then(|surroundings| theirs(surroundings).clone()),
        own => Some(own.to_owned()),
    };
    let address = set(&auth.authority, |surroundings| &surroundings.azure_authority_host);
    let authority = AuthoritySettings {
        address: address.unwrap_or_else(|| settings.graph.cloud.places().login.to_owned()),
        tenant: set(&auth.tenant_id, |surroundings| &surroundings.azure_tenant_id).unwrap_or_default(),
        client: set(&auth.client_id, |surroundings| &surroundings.azure_client_id).unwrap_or_default(),
        scope: scope(settings),
    };
    Authority::new(authority, outside::http(settings)?, Arc::clone(clock)).map_err(|error| refused(error.to_string()))
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
