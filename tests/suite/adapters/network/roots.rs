//! Where the authorities come from, and what a bad way out costs at the start:
//! the binary itself, for the environment is a process's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::private;
use crate::support::secure::Secure;

struct Host {
    home: TempDir,
    root: String,
}

impl Host {
    fn new(root: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        private::write(&home.path().join("token"), "canary\n");
        fs::create_dir(home.path().join("empty")).unwrap();
        Self { home, root: root.to_owned() }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    /// Carries a command out under further lines of `[graph]` and variables.
    fn run(&self, arguments: &[&str], graph: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let text = format!(
            "state_dir = \"{}\"\n[graph]\nbase_url = \"{}/beta\"\n{graph}\n[auth]\nkind = \"token-file\"\ntoken_file = \"{}\"\n",
            self.path("state"),
            self.root,
            self.path("token"),
        );
        fs::write(self.home.path().join("agent.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_edm-agent"));
        command.args(arguments).arg("--config").arg(self.path("agent.toml")).env_clear().env("PATH", "/usr/bin:/bin");
        let Output { status, stdout, stderr } = command.envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(!said.contains("canary"), "{said}");
        (status.code(), said)
    }
}

fn line(key: &str, value: &Path) -> String {
    format!("{key} = \"{}\"", value.display())
}

#[test]
fn without_any_authority_nothing_starts_and_the_places_are_named() {
    let host = Host::new("https://graph.test");
    let empty = host.path("empty");
    for (variable, place) in [("SSL_CERT_FILE", "/nowhere/ca.pem"), ("SSL_CERT_DIR", empty.as_str())] {
        for command in ["check", "run"] {
            let (code, said) = host.run(&[command], "", &[(variable, place)]);
            assert_eq!(code, Some(78), "{said}");
            assert!(said.contains(&format!("{variable}={place}")) && said.contains("graph.ca_file"), "{said}");
        }
    }
    let (code, said) = host.run(&["check"], "ca_file = \"/nowhere/own.pem\"", &[]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("/nowhere/own.pem"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ca_file_alone_is_enough_where_the_system_has_no_authority() {
    let authority = Authority::new();
    let server = Secure::start(authority.certify("localhost").server(&["h2"])).await;
    let host = Host::new(&format!("https://localhost:{}", server.port()));
    let none = [("SSL_CERT_FILE", "/nowhere/ca.pem")];
    let (code, said) = host.run(&["stores", "list"], &line("ca_file", &authority.file()), &none);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(server.requests().len(), 1);

    let bundle = authority.file();
    let instead = [("SSL_CERT_FILE", bundle.to_str().unwrap())];
    let (code, said) = host.run(&["stores", "list"], "", &instead);
    assert_eq!(code, Some(0), "{said}");
    let told = said.matches("the environment decides which authorities are trusted").count();
    assert_eq!(told, 1, "who decides whom is trusted is said once: {said}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_at_the_start_without_its_password() {
    let host = Host::new("https://graph.test");
    let login = host.home.path().join("login");
    fs::write(&login, "user:canary\n").unwrap();
    fs::set_permissions(&login, fs::Permissions::from_mode(0o644)).unwrap();
    let with_login = format!("proxy = \"http://proxy.test:3128\"\n{}", line("proxy_credentials_file", &login));
    for (graph, variables, said) in [
        ("proxy = \"env\"", [("HTTPS_PROXY", "socks5://user:canary@proxy.test:1080")].as_slice(), "HTTPS_PROXY"),
        ("proxy = \"env\"", &[("ALL_PROXY", "http://user:canary@")], "ALL_PROXY"),
        ("proxy = \"socks5://proxy.test\"", &[], "graph.proxy"),
        ("proxy = \"http://proxy.test/path\"", &[], "graph.proxy"),
        (with_login.as_str(), &[], "chmod 0600"),
    ] {
        for command in ["check", "run"] {
            let (code, told) = host.run(&[command], graph, variables);
            assert_eq!(code, Some(78), "{told}");
            assert!(told.contains(said), "`{said}` in `{told}`");
        }
    }
    fs::set_permissions(&login, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, told) = host.run(&["check"], &with_login, &[]);
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_proxy_of_the_environment_is_not_even_read_where_the_setting_does_not_ask_for_it() {
    let host = Host::new("https://graph.test");
    let (code, told) = host.run(&["check"], "", &[("HTTPS_PROXY", "socks5://user:canary@"), ("NO_PROXY", "*")]);
    assert_eq!(code, Some(0), "{told}");
}
