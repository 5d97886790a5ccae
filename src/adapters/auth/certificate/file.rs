//! The file of a certificate, which somebody renews while the agent runs.
//!
//! # Invariants
//!
//! - What is handed out was read whole, fits, and is valid at that moment.
//! - A file that is of no use, such as one half written, takes nothing away: the
//!   pair that was read before goes on being handed out for as long as it is valid.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::{Certificate, Unfit};
use crate::adapters::auth::credential::{FileTrouble, Mark};
use crate::adapters::secret_file::{self, Access, Content, Rules};

/// What the file must be like. A chain of certificates stays far below the limit.
const RULES: Rules =
    Rules { what: "certificate", longest: 256 << 10, content: Content::Anything, access: Access::Private };

/// What the file of its password must be like.
const PASSWORD_RULES: Rules =
    Rules { what: "certificate's password", longest: 4 << 10, content: Content::Line, access: Access::Private };

/// A file with a certificate and its key, and the file of its password if it
/// has one.
pub struct CertificateFile {
    path: PathBuf,
    password: Option<PathBuf>,
    held: Mutex<Held>,
}

/// The last good pair, and what its files were like.
#[derive(Default)]
struct Held {
    pair: Option<Arc<Certificate>>,
    marks: Vec<Option<Mark>>,
    /// What was said of files that were of no use, so that it is said once.
    complaint: Option<FileTrouble>,
}

impl CertificateFile {
    /// Names the files; they are first read when a certificate is asked for.
    pub fn new(path: PathBuf, password: Option<PathBuf>) -> Self {
        Self { path, password, held: Mutex::default() }
    }

    /// Returns what it is called in messages.
    pub fn name(&self) -> String {
        format!("the certificate in {}", self.path.display())
    }

    /// Returns the certificate to use now. The files are read again when they
    /// changed, which takes as long as their password makes it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the files, if no pair read before is still valid.
    pub fn current(&self, now: DateTime<Utc>) -> Result<Arc<Certificate>, FileTrouble> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Before reading: what changes meanwhile is seen the next time.
        let marks = self.marks();
        if let Some(pair) = held.pair.as_ref().filter(|_| held.marks == marks) {
            pair.check(now).map_err(|unfit| self.unusable(&unfit))?;
            return Ok(Arc::clone(pair));
        }
        match self.look(now) {
            Ok(pair) => {
                self.tell(held.pair.as_deref(), &pair);
                let pair = Arc::new(pair);
                *held = Held { pair: Some(Arc::clone(&pair)), marks, complaint: None };
                Ok(pair)
            }
            Err(trouble) => {
                let pair = held.pair.clone().filter(|pair| pair.check(now).is_ok()).ok_or_else(|| trouble.clone())?;
                if held.complaint.as_ref() != Some(&trouble) {
                    let (FileTrouble::Missing(said) | FileTrouble::Unusable(said)) = &trouble;
                    tracing::warn!(thumbprint = pair.sha1(), "{said}; the certificate read before stays in use");
                    held.complaint = Some(trouble);
                }
                Ok(pair)
            }
        }
    }

    /// Reads the files as they are, and keeps nothing.
    ///
    /// # Errors
    ///
    /// Says which file is of no use, and what to do.
    pub fn look(&self, now: DateTime<Utc>) -> Result<Certificate, FileTrouble> {
        let password = self.password.as_ref().map(|path| secret_file::read_text(path, &PASSWORD_RULES)).transpose()?;
        let (content, _) = secret_file::read(&self.path, &RULES)?;
        let password = password.as_ref().map(|(password, _)| password);
        Certificate::read(&content, password, now).map_err(|unfit| self.unusable(&unfit))
    }

    /// Returns the marks of the files as they are.
    pub fn marks(&self) -> Vec<Option<Mark>> {
        std::iter::once(&self.path).chain(&self.password).map(|path| Mark::of(path)).collect()
    }

    fn unusable(&self, unfit: &Unfit) -> FileTrouble {
        let text = format!("read the certificate in {}: {unfit}", self.path.display());
        // Time mends that, or whoever sets the clock of a host that has just started.
        let may_yet_be = matches!(unfit, Unfit::NotYet(_));
        if may_yet_be { FileTrouble::Missing(text) } else { FileTrouble::Unusable(text) }
    }

    /// Returns the pair that was read last, as it is.
    pub fn held(&self) -> Option<Arc<Certificate>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).pair.clone()
    }

    /// Says which certificate is used from now on, if it is another.
    fn tell(&self, before: Option<&Certificate>, pair: &Certificate) {
        if before.is_none_or(|before| before.sha256() != pair.sha256()) {
            let (thumbprint, sha256, ends, path) = (pair.sha1(), pair.sha256(), pair.ends(), self.path.display());
            tracing::info!(thumbprint, sha256, %ends, "signs in with the certificate in {path} from now on");
        }
    }
}
