//! The token file.

use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::auth::token_file::TokenFile;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::tokens::TokenProvider;

use crate::support::clock::TokioClock;
use crate::support::private;

async fn told(tokens: &TokenFile) -> String {
    match tokens.token().await {
        Ok(token) => token.expose().to_owned(),
        Err(none) => format!("none: {none}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_token_file_is_noticed_within_seconds_and_at_once_after_a_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let tokens = TokenFile::new(path.clone(), Arc::new(TokioClock::start()));

    private::write(&path, "first\n");
    assert_eq!(told(&tokens).await, "first");
    private::write(&path, "second\n");
    assert_eq!(told(&tokens).await, "first", "the file is not looked at for every request");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(told(&tokens).await, "second");
    private::write(&path, "third\n");
    tokens.refused(&Secret::new("second".to_owned()), None);
    assert_eq!(told(&tokens).await, "third");
}

#[tokio::test]
async fn a_token_file_that_is_no_use_says_so_by_name_and_shows_nothing_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let tokens = TokenFile::new(path.clone(), Arc::new(TokioClock::start()));
    for content in [None, Some(""), Some("Bearer canary"), Some("canary\ncanary\n")] {
        if let Some(content) = content {
            private::write(&path, content);
        }
        let said = told(&tokens).await;
        assert!(said.starts_with("none: ") && said.contains(path.to_str().unwrap()), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
    let pipe = TokenFile::new("/dev/null".into(), Arc::new(TokioClock::start()));
    assert!(told(&pipe).await.contains("not a regular file"));
}
