//! The `sandbox` command: what it prints and leaves in files can be used as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::harness::{Host, seen};

/// The sections that are printed as comments, each as settings, with what else
/// the comments say.
fn variants(printed: &str) -> Vec<(toml::Table, String)> {
    let (_, comments) = printed.split_once("# Instead of [auth] above").unwrap();
    let uncommented = comments.lines().skip(1).map(|line| line.trim_start_matches('#').trim());
    let uncommented: Vec<&str> = uncommented.collect();
    let paragraphs = uncommented.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs
        .map(|lines| {
            let start = lines.iter().position(|line| *line == "[auth]").unwrap();
            (lines[start..].join("\n").parse().unwrap(), lines[..start].join("\n"))
        })
        .collect()
}

fn is_private(path: &Path) -> bool {
    path.metadata().unwrap().permissions().mode() & 0o777 == 0o600
}

#[tokio::test]
async fn the_sandbox_writes_a_credential_of_every_kind_and_says_how_each_is_used() {
    let host = Host::new().await;
    let folder = host.path("credentials");
    let (shown, token) = (folder.display().to_string(), host.path("sandbox-token").display().to_string());
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--tls", "--credentials", &shown, "--token-file", &token];
    let sandbox = host.start(&arguments);
    seen("the last variant", || sandbox.stdout().contains("arc_key_dir").then_some(())).await;
    let printed = sandbox.stdout();

    let settings: toml::Table = printed.parse().unwrap();
    assert_eq!(settings["auth"]["token_file"].as_str(), Some(&*token));
    let ca_file = PathBuf::from(settings["graph"]["ca_file"].as_str().unwrap());
    assert!(fs::read_to_string(&ca_file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));

    let variants = variants(&printed);
    let kinds: Vec<&str> = variants.iter().map(|(settings, _)| settings["auth"]["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "client-secret",
            "client-certificate",
            "client-certificate",
            "workload-identity",
            "managed-identity",
            "managed-identity",
            "managed-identity",
        ]
    );
    let mut files = vec![PathBuf::from(&token), folder.join("identity-header")];
    for (settings, said) in &variants {
        let auth = settings["auth"].as_table().unwrap();
        let named = auth.iter().filter(|(key, _)| key.ends_with("_file"));
        files.extend(named.map(|(_, path)| PathBuf::from(path.as_str().unwrap())));
        assert!(auth.contains_key("authority") || said.contains("In the agent's environment"), "{auth:?} {said}");
    }
    assert_eq!(files.len(), 7);
    assert!(files.iter().all(|path| is_private(path)), "{files:?}");
    assert_eq!(fs::read_to_string(folder.join("client-secret")).unwrap(), "sandbox-secret\n");
    let password = fs::read_to_string(folder.join("client-certificate.password")).unwrap();
    let archive = fs::read(folder.join("client-certificate.p12")).unwrap();
    let policy = p12_keystore::Pkcs12ImportPolicy::Strict;
    assert!(p12_keystore::KeyStore::from_pkcs12(&archive, password.trim_end(), policy).is_ok());

    sandbox.signal("TERM");
    let ended = sandbox.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let left: Vec<_> = files.iter().chain([&ca_file]).filter(|path| path.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}
