//! The application's own credentials at the authority: a secret both know.

use std::path::PathBuf;
use std::sync::Arc;

use super::authority::{Authority, Proof};
use super::credential::{Credential, FileTrouble, Granted, Mark};
use super::watched::Watched;
use crate::adapters::secret_file::{Access, Content, Rules};
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
}

impl Application {
    /// An application with a secret in a file.
    pub const fn with_secret(authority: Authority, path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { authority, means: Means::Secret(Watched::new(path, SECRET_RULES)), clock }
    }

    async fn proof(&self) -> Result<Proof, FileTrouble> {
        match &self.means {
            Means::Secret(file) => file.current(self.clock.as_ref()).await.map(Proof::Secret),
        }
    }
}

impl Credential for Application {
    fn name(&self) -> String {
        match &self.means {
            Means::Secret(file) => format!("the client secret in {}", file.path().display()),
        }
    }

    fn ask<'a>(&'a self, claims: Option<&'a str>) -> Task<'a, Result<Granted, NoToken>> {
        Box::pin(async move {
            let proof = self.proof().await.map_err(|trouble| NoToken::refused(trouble.to_string()))?;
            self.authority.grant(&self.name(), &proof, claims, self.clock.as_ref()).await
        })
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        match &self.means {
            Means::Secret(file) => vec![file.mark()],
        }
    }

    fn look(&self) -> Result<(), FileTrouble> {
        match &self.means {
            Means::Secret(file) => file.look(),
        }
    }
}
