//! The bearer token in a file that someone else keeps fresh.
//!
//! The file holds the bare token and, at most, one line ending. It is read again
//! when it changed.

use std::path::PathBuf;
use std::sync::Arc;

use super::credential::{Credential, FileTrouble, Granted, Mark};
use super::watched::Watched;
use crate::adapters::secret_file::{Access, Content, Rules};
use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::ports::tokens::NoToken;

/// What the file must be like. Real tokens stay under 10 KiB.
const RULES: Rules = Rules { what: "token file", longest: 64 << 10, content: Content::Token, access: Access::Private };

/// The token of a file.
pub struct TokenFile {
    file: Watched,
    clock: Arc<dyn Clock>,
}

impl TokenFile {
    /// Names the file; it is first read when a token is asked for.
    pub const fn new(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { file: Watched::new(path, RULES), clock }
    }
}

impl Credential for TokenFile {
    fn name(&self) -> String {
        format!("the token in {}", self.file.path().display())
    }

    /// Claims are for whoever writes the file.
    fn ask<'a>(&'a self, _claims: Option<&'a str>) -> Task<'a, Result<Granted, NoToken>> {
        Box::pin(async move {
            let asked = self.clock.now().moment;
            let token = self.file.current(self.clock.as_ref()).await;
            let token = token.map_err(|trouble| NoToken::refused(trouble.to_string()))?;
            Ok(Granted { token, asked, life: None })
        })
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        vec![self.file.mark()]
    }

    fn look(&self) -> Result<(), FileTrouble> {
        self.file.look()
    }
}
