//! Tokens that need no authority.

use std::sync::Arc;

use edm_agent::ground::secret::Secret;
use edm_agent::ports::Task;
use edm_agent::ports::tokens::{NoToken, SignIn, TokenProvider};

/// Always the same token, or always the same trouble.
pub(crate) struct Fixed(pub(crate) Result<&'static str, &'static str>);

impl Fixed {
    /// Hands out a token.
    pub(crate) fn token(token: &'static str) -> Arc<dyn TokenProvider> {
        Arc::new(Self(Ok(token)))
    }

    /// Says why there is none.
    pub(crate) fn none(why: &'static str) -> Arc<dyn TokenProvider> {
        Arc::new(Self(Err(why)))
    }
}

impl TokenProvider for Fixed {
    fn token(&self) -> Task<'_, Result<Secret, NoToken>> {
        let token = self.0.map(|token| Secret::new(token.to_owned())).map_err(NoToken::refused);
        Box::pin(async move { token })
    }

    fn refused(&self, _: &Secret, _: Option<&str>) {}

    fn accepted(&self) {}

    fn sign_in(&self) -> SignIn {
        SignIn { has_token: self.0.is_ok(), is_refused: false, trouble: self.0.err().map(str::to_owned) }
    }
}
