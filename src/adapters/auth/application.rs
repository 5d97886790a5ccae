//! The application's own credentials at the authority: a secret both know, a
//! certificate it has the key of, or the word of another issuer.

use std::path::PathBuf;
use std::sync::Arc;

use super::assertion;
use super::authority::{Authority, Proof};
use super::certificate::CertificateFile;
use super::credential::{Credential, FileTrouble, Granted, Mark};
use super::watched::Watched;
use super::workload::FederatedToken;
use crate::adapters::secret_file::{Access, Content, Rules};
use crate::ground::secret::Secret;
use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::ports::tokens::NoToken;

/// What the file of a client secret must be like. Entra's have 40 characters.
const SECRET_RULES: Rules =
    Rules { what: "client secret", longest: 4 << 10, content: Content::Line, access: Access::Private };

/// An application, and how it proves itself.
pub struct Application {
    authority: Authority,
    means: Means,
    clock: Arc<dyn Clock>,
}

/// How it proves itself.
enum Means {
    Secret(Watched),
    Certificate(Arc<CertificateFile>),
    Federated(FederatedToken),
}

impl Application {
    /// An application with a secret in a file.
    pub const fn with_secret(authority: Authority, path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { authority, means: Means::Secret(Watched::new(path, SECRET_RULES)), clock }
    }

    /// An application with a registered certificate.
    pub fn with_certificate(authority: Authority, file: CertificateFile, clock: Arc<dyn Clock>) -> Self {
        Self { authority, means: Means::Certificate(Arc::new(file)), clock }
    }

    /// An application that another issuer vouches for.
    pub const fn with_federated(authority: Authority, token: FederatedToken, clock: Arc<dyn Clock>) -> Self {
        Self { authority, means: Means::Federated(token), clock }
    }

    async fn ask_once(&self, claims: Option<&str>) -> Result<Granted, NoToken> {
        let proof = self.proof().await.map_err(|trouble| NoToken::refused(trouble.to_string()))?;
        self.authority.grant(&self.name(), &proof, claims).await
    }

    async fn proof(&self) -> Result<Proof, FileTrouble> {
        match &self.means {
            Means::Secret(file) => file.current(self.clock.as_ref()).await.map(Proof::Secret),
            Means::Certificate(file) => self.statement(Arc::clone(file)).await.map(Proof::Assertion),
            Means::Federated(token) => token.assertion(self.clock.as_ref()).await.map(Proof::Assertion),
        }
    }

    /// Signs a statement, apart from whatever else goes on: a password is made to
    /// be slow, and a signature takes its time too.
    async fn statement(&self, file: Arc<CertificateFile>) -> Result<Secret, FileTrouble> {
        // A statement, and the certificate it is of, are judged by the authority's clock.
        let (date, audience) = (self.authority.date(self.clock.now()), self.authority.audience().to_owned());
        let client = self.authority.client().to_owned();
        let signing = tokio::task::spawn_blocking(move || {
            let certificate = file.current(date)?;
            let signed = assertion::sign(&certificate, &audience, &client, date);
            signed.map_err(|why| FileTrouble::Unusable(why.to_owned()))
        });
        signing.await.unwrap_or_else(|error| Err(FileTrouble::Missing(format!("sign with the certificate: {error}"))))
    }
}

impl Credential for Application {
    fn name(&self) -> String {
        match &self.means {
            Means::Secret(file) => format!("the client secret in {}", file.path().display()),
            Means::Certificate(file) => file.name(),
            Means::Federated(token) => token.name(),
        }
    }

    fn ask<'a>(&'a self, claims: Option<&'a str>) -> Task<'a, Result<Granted, NoToken>> {
        Box::pin(async move {
            let ahead = self.authority.ahead();
            let answer = self.ask_once(claims).await;
            match &self.means {
                // The answer told that the clocks differ: a statement of the right time may do.
                Means::Certificate(_) if answer.is_err() && self.authority.has_moved_since(ahead) => {
                    self.ask_once(claims).await
                }
                Means::Secret(_) | Means::Certificate(_) | Means::Federated(_) => answer,
            }
        })
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        match &self.means {
            Means::Secret(file) => vec![file.mark()],
            Means::Certificate(file) => file.marks(),
            Means::Federated(token) => token.marks(),
        }
    }

    fn look(&self) -> Result<(), FileTrouble> {
        match &self.means {
            Means::Secret(file) => file.look(),
            // What is read is kept, so that it can be told of.
            Means::Certificate(file) => file.current(self.clock.now().wall).map(drop),
            Means::Federated(token) => token.look(),
        }
    }

    fn notice(&self) -> Option<String> {
        let now = self.clock.now().wall;
        match &self.means {
            Means::Certificate(file) => {
                let certificate = file.held().filter(|certificate| certificate.ends_soon(now))?;
                let days = certificate.ends().signed_duration_since(now).num_days();
                let name = file.name();
                Some(format!("{name} ends in {days} days: make a new one, register it, and put it there"))
            }
            Means::Secret(_) | Means::Federated(_) => None,
        }
    }
}
