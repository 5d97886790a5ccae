//! A text that must not be seen.

use zeroize::Zeroize;

/// A secret text. It has no `Debug`, no `Display` and no serialisation, and is
/// wiped from memory when dropped, so it can reach an output only through
/// [`Secret::expose`], which is easy to search for.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
