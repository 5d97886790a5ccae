//! The token of another issuer.

use std::path::Path;

use edm_agent::adapters::auth::credential::FileTrouble;
use edm_agent::adapters::auth::surroundings::Surroundings;
use edm_agent::adapters::auth::workload::FederatedToken;

use crate::support::clock::TokioClock;

#[test]
fn the_configured_file_goes_before_the_one_the_surroundings_name() {
    let cluster = Surroundings { federated_token_file: Some("/var/run/cluster".into()), ..Surroundings::default() };
    let named = |configured: &str, surroundings: &Surroundings| {
        FederatedToken::new(Path::new(configured), surroundings).map(|token| token.name())
    };
    assert_eq!(named("/etc/own", &cluster).as_deref(), Some("the federated token in /etc/own"));
    assert_eq!(named("", &cluster).as_deref(), Some("the federated token in /var/run/cluster"));
    assert_eq!(named("", &Surroundings::default()), None);
}

async fn told(token: &FederatedToken) -> Result<String, FileTrouble> {
    token.assertion(&TokioClock::start()).await.map(|token| token.expose().to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_token_is_the_one_in_the_file_whatever_its_mode_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let token = FederatedToken::new(&path, &Surroundings::default()).unwrap();
    assert_eq!(token.marks(), [None]);
    assert!(matches!(told(&token).await, Err(FileTrouble::Missing(text)) if text.contains(path.to_str().unwrap())));
    for (content, expected) in [
        ("one.two.three", "one.two.three"),
        ("\u{feff}four.five.six\r\n", "four.five.six"),
        ("", "four.five.six"),
        ("half a", "four.five.six"),
    ] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(told(&token).await.as_deref(), Ok(expected));
    }
    assert!(token.marks()[0].is_some());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_holds_no_token_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for content in ["", "\n", "canary canary", "canary\n\n", "canary\ncanary", "canary\u{e4}", &"canary".repeat(20_000)]
    {
        std::fs::write(&path, content).unwrap();
        let token = FederatedToken::new(&path, &Surroundings::default()).unwrap();
        let Err(FileTrouble::Unusable(said)) = told(&token).await else { panic!("{content:.20} was taken") };
        assert!(said.contains(path.to_str().unwrap()) && !said.contains("canary"), "{said}");
        assert!(token.look().is_err());
    }
}
