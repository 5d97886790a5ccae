//! Names to addresses, with a word for what went wrong and a say in where a
//! name may lead.
//!
//! The system's resolver is asked, so that what this host knows (its files, its
//! search list, its own servers) holds here too. Where a client is to stay
//! outside, every address of a name is looked at before any is connected to:
//! the connection goes to the very addresses that were looked at, so a name
//! cannot change its mind in between. One address inside condemns the name,
//! for whoever mixes them is trying something.
//!
//! An address written as a number comes from the configuration, which lists
//! the hosts that upload URIs may name, and is not looked at. Behind a proxy
//! names are the proxy's to resolve, and what they lead to is its to judge.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::upload::reach::inside;

/// How long a name may take: long enough for the second of two name servers
/// when the first is silent for the usual five seconds, and shorter than a
/// connection may take, so that the failure is called by its name.
pub const NAME_PATIENCE: Duration = Duration::from_secs(8);

/// Where the names a client is given may lead.
#[derive(Debug, Clone, Default)]
pub enum Reach {
    /// Anywhere: the names come from the configuration.
    #[default]
    Anywhere,
    /// To addresses of the internet at large only.
    Public {
        /// Names that may lead to this very host instead.
        this_host: Vec<String>,
    },
}

/// Asks for the addresses of a name. The system's resolver, except in tests.
pub trait Lookup: Send + Sync {
    /// Returns the addresses of a name.
    fn lookup(&self, host: &str) -> Task<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> Task<'static, io::Result<Vec<IpAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    /// There is no such name.
    #[error("the name {0} is unknown: check how it is written, and this host's name servers")]
    Unknown(String),
    /// Nobody answered in time.
    #[error("the name {0} was not resolved in time: check this host's name servers")]
    Late(String),
    /// Asking failed for another reason.
    #[error("the name {host} was not resolved: {said}")]
    Failed {
        /// The name.
        host: String,
        /// What the resolver said.
        said: String,
    },
    /// It leads where the client must not go.
    #[error(
        "the name {host} leads to {address}, a {kind} address, where no upload is expected: \
         for a private endpoint set upload.allow_private_addresses = true"
    )]
    Inside {
        /// The name.
        host: String,
        /// The first such address.
        address: IpAddr,
        /// Its kind.
        kind: &'static str,
    },
}

/// Resolves the names of one client.
pub(super) struct Resolver {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reach: Reach,
    /// The hosts of the proxies, which may be anywhere.
    pub(super) proxies: Vec<String>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let asking = self.lookup.lookup(&host);
        let enough = self.clock.sleep_until(self.clock.now().moment + NAME_PATIENCE);
        let reach = if is_among(&self.proxies, &host) { Reach::Anywhere } else { self.reach.clone() };
        Box::pin(async move {
            let found = tokio::select! {
                found = asking => found.map_err(|error| failed(&host, &error))?,
                () = enough => return Err(Astray::Late(host).into()),
            };
            if found.is_empty() {
                return Err(Astray::Unknown(host).into());
            }
            judge(&host, &found, &reach)?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// Asks for the addresses of a name as a client would, and returns how many there
/// are that it may go to.
///
/// # Errors
///
/// Says why it leads nowhere, or nowhere it may.
pub async fn reachable(lookup: &dyn Lookup, host: &str, reach: &Reach) -> Result<usize, Astray> {
    let found = lookup.lookup(host).await.map_err(|error| failed(host, &error))?;
    if found.is_empty() {
        return Err(Astray::Unknown(host.to_owned()));
    }
    judge(host, &found, reach)?;
    Ok(found.len())
}

/// Refuses a name one of whose addresses lies where the client must not go.
fn judge(host: &str, found: &[IpAddr], reach: &Reach) -> Result<(), Astray> {
    let Reach::Public { this_host } = reach else { return Ok(()) };
    if is_among(this_host, host) && found.iter().all(IpAddr::is_loopback) {
        return Ok(());
    }
    match found.iter().find_map(|address| Some((*address, inside(*address)?))) {
        Some((address, kind)) => Err(Astray::Inside { host: host.to_owned(), address, kind }),
        None => Ok(()),
    }
}

fn is_among(names: &[String], host: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Tells an unknown name from a resolver that is out of order. The system says
/// it in words only: those of glibc, then those of musl.
fn failed(host: &str, error: &io::Error) -> Astray {
    let said = error.to_string();
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    let host = host.to_owned();
    if says(&["Name or service not known", "No address associated", "Name does not resolve", "Name has no usable"]) {
        Astray::Unknown(host)
    } else if says(&["Temporary failure", "Try again"]) {
        Astray::Late(host)
    } else {
        Astray::Failed { host, said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(this_host: &[&str]) -> Reach {
        Reach::Public { this_host: this_host.iter().map(|&name| name.to_owned()).collect() }
    }

    fn judged(host: &str, found: &[&str], reach: &Reach) -> Result<(), Astray> {
        let found: Vec<IpAddr> = found.iter().map(|address| address.parse().unwrap()).collect();
        judge(host, &found, reach)
    }

    #[test]
    fn one_address_inside_condemns_the_name() {
        let reach = public(&[]);
        assert_eq!(judged("a.test", &["20.60.0.1", "2603:1000::1"], &reach), Ok(()));
        let refused = judged("a.test", &["20.60.0.1", "10.0.0.4"], &reach).unwrap_err().to_string();
        for part in ["a.test", "10.0.0.4", "private", "upload.allow_private_addresses = true"] {
            assert!(refused.contains(part), "`{part}` in `{refused}`");
        }
        assert_eq!(judged("a.test", &["10.0.0.4"], &Reach::Anywhere), Ok(()));
    }

    #[test]
    fn a_name_of_this_host_may_lead_to_it_and_nowhere_else_inside() {
        let reach = public(&["localhost"]);
        assert_eq!(judged("LocalHost", &["127.0.0.1", "::1"], &reach), Ok(()));
        assert!(judged("localhost", &["127.0.0.1", "10.0.0.1"], &reach).is_err());
        assert!(judged("elsewhere.test", &["127.0.0.1"], &reach).is_err());
    }

    #[test]
    fn an_unknown_name_is_told_from_a_resolver_that_is_out_of_order() {
        let told = |said: &str| failed("a.test", &io::Error::other(said.to_owned()));
        let lead = "failed to lookup address information: ";
        assert_eq!(told(&format!("{lead}Name or service not known")), Astray::Unknown("a.test".to_owned()));
        assert_eq!(told(&format!("{lead}Name does not resolve")), Astray::Unknown("a.test".to_owned()));
        assert_eq!(told(&format!("{lead}Temporary failure in name resolution")), Astray::Late("a.test".to_owned()));
        assert!(told("odd").to_string().contains("a.test was not resolved: odd"));
    }
}
