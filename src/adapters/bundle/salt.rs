//! The salt of a bundle that is to be made: fresh, or out of a file.

use std::path::Path;

use zeroize::Zeroizing;

use super::SaltSource;
use super::error::HashError;
use crate::adapters::entropy;
use crate::adapters::secret_file::{Access, Content, Rules, read_text};
use crate::table::salt::{RANDOM_BYTES, Salt};

/// What a salt file must be like. A salt has 64 bytes; a file that is longer is
/// still read, so that the message can say what a salt looks like.
const RULES: Rules = Rules { what: "salt file", longest: 4 << 10, content: Content::Line, access: Access::Private };

/// Returns a salt to hash with.
///
/// # Errors
///
/// Says which file is no use and what to do, never what it holds.
pub fn salt(from: &SaltSource) -> Result<Salt, HashError> {
    match from {
        SaltSource::Fresh => loop {
            let mut random = Zeroizing::new([0; RANDOM_BYTES]);
            entropy::fill(&mut *random)?;
            if let Some(salt) = Salt::from_random(&*random) {
                return Ok(salt);
            }
        },
        SaltSource::File(path) => of_file(path),
        SaltSource::Given(salt) => Ok(salt.clone()),
    }
}

fn of_file(path: &Path) -> Result<Salt, HashError> {
    let (text, _) = read_text(path, &RULES).map_err(|trouble| HashError::SaltFile(trouble.to_string()))?;
    Salt::parse(text.expose())
        .map_err(|problem| HashError::SaltFile(format!("read the salt file {}: {problem}", path.display())))
}
