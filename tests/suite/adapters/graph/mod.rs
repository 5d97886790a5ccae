//! The session service's client against a scripted service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edm_agent::adapters::graph::settings::ContractSettings;
use edm_agent::adapters::graph::{GraphService, GraphSettings};
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::Task;
use edm_agent::ports::contract::SessionDraft;
use edm_agent::ports::service::SessionKey;
use edm_agent::ports::tokens::{NoToken, SignIn, TokenProvider};

use crate::support::clock::TokioClock;
use crate::support::mock::Mock;

mod faults;
mod operations;
mod secrecy;
mod tolerance;

/// Hands out `token-0`, and the next one after each refusal.
#[derive(Default)]
struct Tokens {
    refused: AtomicUsize,
}

impl TokenProvider for Tokens {
    fn token(&self) -> Task<'_, Result<Secret, NoToken>> {
        let number = self.refused.load(Ordering::SeqCst);
        Box::pin(async move { Ok(Secret::new(format!("token-{number}"))) })
    }

    fn refused(&self, _: &Secret, _: Option<&str>) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    fn accepted(&self) {}

    fn sign_in(&self) -> SignIn {
        SignIn::default()
    }
}

/// A client of a scripted service under the default contract.
fn client(mock: &Mock) -> GraphService {
    client_with(mock, ContractSettings::default())
}

fn client_with(mock: &Mock, contract: ContractSettings) -> GraphService {
    let http = HttpSettings { timeout: Duration::from_secs(5), ..HttpSettings::default() };
    let settings = GraphSettings { base_url: format!("{}/beta", mock.url()), http, contract };
    GraphService::new(settings, Arc::new(Tokens::default()), Arc::new(TokioClock::start())).unwrap()
}

fn key() -> SessionKey {
    SessionKey { store: "store 1".to_owned(), session: "s/2".to_owned() }
}

fn draft() -> SessionDraft {
    SessionDraft {
        file_name: "patients-1.EdmHash".to_owned(),
        fields: vec!["Name".to_owned(), "SSN".to_owned()],
        checksum: Some("ab12".to_owned()),
        rows_per_block: Some(1_000),
        total_block_count: 15,
        remaining_block_count: 15,
        salt: Some(Secret::new("the-salt".to_owned())),
        upload_agent_id: Some("agent-1".to_owned()),
    }
}
