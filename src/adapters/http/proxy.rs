//! The proxy, if there is one: which requests go through which, and as whom.
//!
//! The environment is asked only where the configuration says so, and read
//! here, so that no library picks a proxy on its own.
//!
//! # Invariants
//!
//! - An address that cannot be used is refused at the start; nothing falls back
//!   to going without a proxy.
//! - This host itself is never reached through a proxy.
//! - No message shows a proxy's user name, password or whole address.

use std::ffi::OsString;
use std::path::Path;

use reqwest::{Proxy, Url};

use super::HttpRefused;
use super::exceptions::Exceptions;
use super::text::encode;
use crate::adapters::secret_file::{Access, Content, Rules, read_text};
use crate::ground::secret::Secret;
use crate::upload::uri::is_loopback;

/// What the file of a user name and a password must be like.
const RULES: Rules =
    Rules { what: "proxy's user name and password", longest: 4 << 10, content: Content::Line, access: Access::Private };

/// The setting that names a proxy.
const SETTING: &str = "graph.proxy";

/// What asks for a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The proxies of a client, by the scheme of what is asked for.
#[derive(Clone)]
pub struct Proxies {
    https: Option<Through>,
    http: Option<Through>,
    exceptions: Exceptions,
}

/// One proxy.
#[derive(Clone)]
pub struct Through {
    host: String,
    place: String,
    /// The whole address, with user name and password if there are any.
    address: Secret,
}

impl Through {
    /// Returns its host and port, which may be shown.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Proxies {
    /// Reads the setting `graph.proxy`: empty for none, `env` for what the
    /// environment says, or an address. User name and password come from the
    /// file, if one is named; those in the environment go before it.
    ///
    /// # Errors
    ///
    /// Says which setting, variable or file to correct.
    pub fn read(
        setting: &str,
        credentials: Option<&Path>,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, HttpRefused> {
        if setting.is_empty() {
            return Ok(None);
        }
        let login = credentials.map(login).transpose()?;
        match setting {
            "env" => Self::of_environment(login.as_ref(), environment),
            address => Self::all_through(address, login.as_ref()).map(Some),
        }
    }

    /// Sends everything through one proxy, but what stays on this host.
    ///
    /// # Errors
    ///
    /// When the address makes no sense.
    pub fn all(address: &str) -> Result<Self, HttpRefused> {
        Self::all_through(address, None)
    }

    fn all_through(address: &str, login: Option<&Secret>) -> Result<Self, HttpRefused> {
        let through = through(address, SETTING, login)?;
        Ok(Self { https: Some(through.clone()), http: Some(through), exceptions: Exceptions::default() })
    }

    fn of_environment(login: Option<&Secret>, environment: Environment<'_>) -> Result<Option<Self>, HttpRefused> {
        let proxy_of = |names: [&'static str; 4]| -> Result<Option<Through>, HttpRefused> {
            match first(names, environment)? {
                Some((name, address)) => through(address.expose(), name, login).map(Some),
                None => Ok(None),
            }
        };
        let https = proxy_of(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?;
        let http = proxy_of(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])?;
        let direct = first(["NO_PROXY", "no_proxy"], environment)?;
        let exceptions = direct.map_or_else(Exceptions::default, |(_, list)| Exceptions::read(list.expose()));
        Ok((https.is_some() || http.is_some()).then_some(Self { https, http, exceptions }))
    }

    /// Returns the proxy that a request to an address goes through.
    pub fn of(&self, url: &Url) -> Option<&Through> {
        if is_loopback(url) || self.exceptions.cover(url) {
            return None;
        }
        match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }

    /// Returns the hosts of all proxies.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.https.iter().chain(&self.http).map(|through| through.host.clone()).collect()
    }

    /// Returns the proxy as a client takes it.
    pub(super) fn for_client(&self) -> Proxy {
        let proxies = self.clone();
        Proxy::custom(move |url| proxies.of(url).map(|through| through.address.expose().to_owned()))
    }
}

/// Returns the first variable of several that says something.
fn first<const N: usize>(
    names: [&'static str; N],
    environment: Environment<'_>,
) -> Result<Option<(&'static str, Secret)>, HttpRefused> {
    for name in names {
        let Some(value) = environment(name).filter(|value| !value.is_empty()) else { continue };
        let value = value.into_string().map_err(|_| HttpRefused::Proxy(name))?;
        return Ok(Some((name, Secret::new(value))));
    }
    Ok(None)
}

/// Reads the address of a proxy. One without a scheme is meant as http.
fn through(address: &str, name: &'static str, login: Option<&Secret>) -> Result<Through, HttpRefused> {
    let refused = || HttpRefused::Proxy(name);
    let address = address.trim();
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let url = Url::parse(&whole).map_err(|_| refused())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(refused)?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_bare {
        return Err(refused());
    }
    let port = url.port_or_known_default().ok_or_else(refused)?;
    let own = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some(Secret::new(format!("{user}:{}", password.unwrap_or_default()))),
    };
    let login = own.as_ref().or(login).map_or_else(String::new, |login| format!("{}@", login.expose()));
    let place = format!("{host}:{port}");
    let address = Secret::new(format!("{}://{login}{place}", url.scheme()));
    // The client reads it once more, in a stricter way, and would go without a
    // proxy if it could not.
    address.expose().parse::<hyper::Uri>().map_err(|_| refused())?;
    Ok(Through { host: host.to_owned(), place, address })
}

/// Reads a user name and a password, ready to stand in an address.
fn login(path: &Path) -> Result<Secret, HttpRefused> {
    let (line, _) = read_text(path, &RULES).map_err(|trouble| HttpRefused::ProxyLogin(trouble.to_string()))?;
    let pair = line.expose().split_once(':').filter(|(user, _)| !user.is_empty());
    let pair = pair.map(|(user, password)| Secret::new(format!("{}:{}", encode(user), encode(password))));
    pair.ok_or_else(|| {
        let shown = path.display();
        HttpRefused::ProxyLogin(format!(
            "read the {} {shown}: it is no USER:PASSWORD; write just that there",
            RULES.what
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(setting: &str, variables: &[(&str, &str)]) -> Result<Option<Proxies>, HttpRefused> {
        let variables: HashMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Proxies::read(setting, None, &|name| variables.get(name).cloned())
    }

    fn way(proxies: Option<&Proxies>, url: &str) -> String {
        let through = proxies.and_then(|proxies| proxies.of(&Url::parse(url).unwrap()));
        through.map_or_else(|| "direct".to_owned(), |through| through.address.expose().to_owned())
    }

    #[test]
    fn the_environment_is_asked_only_where_the_setting_says_so() {
        let variables = [("HTTPS_PROXY", "http://secure:1"), ("http_proxy", "plain:2"), ("NO_PROXY", "corp.test")];
        assert!(read("", &variables).unwrap().is_none());
        let set = read("http://own:3128", &variables).unwrap();
        assert_eq!(way(set.as_ref(), "https://a.corp.test/"), "http://own:3128", "NO_PROXY is the environment's");
        let found = read("env", &variables).unwrap();
        for (url, expected) in [
            ("https://graph.test/", "http://secure:1"),
            ("http://graph.test/", "http://plain:2"),
            ("https://a.corp.test/", "direct"),
            ("https://127.0.0.1:9/", "direct"),
            ("http://localhost:9/", "direct"),
            ("https://[::1]:9/", "direct"),
        ] {
            assert_eq!(way(found.as_ref(), url), expected, "{url}");
        }
        assert!(read("env", &[("HTTPS_PROXY", ""), ("NO_PROXY", "*")]).unwrap().is_none());
    }

    #[test]
    fn a_variable_of_one_scheme_is_not_for_the_other_and_that_of_all_is_for_both() {
        let plain = read("env", &[("HTTP_PROXY", "http://plain:2")]).unwrap();
        assert_eq!(way(plain.as_ref(), "https://graph.test/"), "direct");
        let all = read("env", &[("ALL_PROXY", "all.test"), ("https_proxy", "https://secure.test")]).unwrap();
        assert_eq!(way(all.as_ref(), "http://graph.test/"), "http://all.test:80");
        assert_eq!(way(all.as_ref(), "https://graph.test/"), "https://secure.test:443");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_by_name_and_shows_no_password() {
        for address in [
            "socks5://canary:1",
            "http://u:canary@",
            "http://u:canary@host:70000",
            "http://host/canary",
            "http://host/?canary",
            "http://u:canary@:0:0",
            "canary canary",
        ] {
            for (setting, name, variables) in
                [(address, "graph.proxy", vec![]), ("env", "ALL_PROXY", vec![("ALL_PROXY", address)])]
            {
                let refused = read(setting, &variables).err().unwrap().to_string();
                assert!(refused.contains(name) && refused.contains("proxy"), "{refused}");
                assert!(!refused.contains("canary"), "{refused}");
            }
        }
    }

    #[test]
    fn odd_characters_of_a_password_reach_the_proxy_and_not_the_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy");
        let kept = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            login(&path).ok().map(|login| login.expose().to_owned())
        };
        assert_eq!(kept("us er:p@ss:w%rd/\n").as_deref(), Some("us%20er:p%40ss%3Aw%25rd%2F"));
        assert_eq!(kept("user:\r\n").as_deref(), Some("user:"));
        for text in ["", "\n", "user", ":password", "user:pass\n\n", "user:pass\nmore", "a:b\0"] {
            assert!(kept(text).is_none(), "{text:?}");
        }
        let found = read("env", &[("HTTPS_PROXY", "http://u%40x:p|\"<ä@proxy:1")]).unwrap();
        assert!(way(found.as_ref(), "https://graph.test/").starts_with("http://u%40x:p"));
    }

    #[test]
    fn a_file_of_the_password_that_is_too_open_or_no_use_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy");
        let refused = |path: &Path| {
            let refused = Proxies::read("http://proxy:1", Some(path), &|_| None).err().unwrap().to_string();
            assert!(refused.contains(path.to_str().unwrap()) && !refused.contains("canary"), "{refused}");
            refused
        };
        assert!(refused(&path).contains("put it there"));
        assert!(refused(directory.path()).contains("not a regular file"));
        fs::write(&path, "user:canary\n").unwrap();
        for mode in [0o644, 0o604, 0o660, 0o602, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(refused(&path).contains("chmod 0600"), "{mode:o}");
        }
        for mode in [0o640, 0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = Proxies::read("http://proxy:1", Some(&path), &|_| None).unwrap();
            assert_eq!(way(found.as_ref(), "https://graph.test/"), "http://user:canary@proxy:1", "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for content in ["", "canary", "user:canary\ncanary", &"canary:".repeat(1_000)] {
            fs::write(&path, content).unwrap();
            refused(&path);
        }
    }
}
