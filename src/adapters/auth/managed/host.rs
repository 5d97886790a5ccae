//! Where a machine's identity is asked for: each kind of Azure host has its own
//! way, and says in its environment which it is.

use std::path::PathBuf;

use reqwest::{RequestBuilder, Url};
use url::Host as Named;

use super::ManagedRefused;
use crate::adapters::auth::surroundings::Surroundings;
use crate::ground::secret::Secret;
use crate::upload::uri::is_loopback;

/// The endpoint that every virtual machine finds at the same address.
const MACHINE: &str = "http://169.254.169.254";

/// Where a machine's endpoint hands out tokens.
const MACHINE_PATH: &str = "metadata/identity/oauth2/token";

/// A kind of host.
pub(super) enum Host {
    /// A virtual machine, a scale set, a cluster's node: the instance metadata
    /// service, or what stands in for it.
    Machine,
    /// App Service, Functions, Container Apps. It wants to be shown the header
    /// that only processes in there know.
    Service(Secret),
    /// A machine elsewhere that Azure Arc brought in. It wants to be shown a key
    /// from a file in this folder.
    Arc(PathBuf),
}

impl Host {
    /// Tells the host by its surroundings; returns it with its address.
    pub(super) fn tell(surroundings: &Surroundings, arc_key_dir: PathBuf) -> Result<(Self, Url), ManagedRefused> {
        let (host, name, address) = match (&surroundings.identity_endpoint, &surroundings.identity_header) {
            (Some(endpoint), Some(header)) => (Self::Service(header.clone()), "IDENTITY_ENDPOINT", endpoint.as_str()),
            (Some(endpoint), None) if surroundings.imds_endpoint.is_some() => {
                (Self::Arc(arc_key_dir), "IDENTITY_ENDPOINT", endpoint.as_str())
            }
            (Some(_) | None, _) => {
                let stand_in = surroundings.pod_identity_authority_host.as_deref();
                (Self::Machine, "AZURE_POD_IDENTITY_AUTHORITY_HOST", stand_in.unwrap_or(MACHINE))
            }
        };
        let mut url = endpoint(address).map_err(|problem| ManagedRefused::Endpoint { name, problem })?;
        match host {
            Self::Machine => {
                let mut segments = url
                    .path_segments_mut()
                    .map_err(|()| ManagedRefused::Endpoint { name, problem: "it is no address of a server" })?;
                segments.pop_if_empty().extend(MACHINE_PATH.split('/'));
            }
            Self::Service(_) | Self::Arc(_) => (),
        }
        Ok((host, url))
    }

    /// Returns the version of the interface that is spoken with it.
    pub(super) const fn version(&self) -> &'static str {
        match self {
            Self::Machine => "2018-02-01",
            Self::Service(_) => "2019-08-01",
            Self::Arc(_) => "2020-06-01",
        }
    }

    /// Adds what shows that the request comes from where it should.
    pub(super) fn show(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Machine | Self::Arc(_) => request.header("Metadata", "true"),
            Self::Service(header) => request.header("X-IDENTITY-HEADER", header.expose()),
        }
    }

    /// Returns what a person should do when it does not know the identity.
    pub(super) const fn advice(&self, names_client: bool) -> &'static str {
        match (self, names_client) {
            (Self::Machine, false) => {
                "assign a managed identity to this machine, or name one in auth.client_id if it has several"
            }
            (Self::Machine, true) => "assign the identity that auth.client_id names to this machine, or name another",
            (Self::Service(_), false) => {
                "switch the system-assigned identity of this app on, or name an assigned one in auth.client_id"
            }
            (Self::Service(_), true) => "assign the identity that auth.client_id names to this app, or name another",
            (Self::Arc(_), _) => "look at `azcmagent show`: this machine must be connected and have an identity",
        }
    }
}

/// Reads an address of the host itself: nobody else is to see what is shown there.
fn endpoint(address: &str) -> Result<Url, &'static str> {
    let url = Url::parse(address).map_err(|_| "it is no address")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or a password");
    }
    let is_link_local = matches!(url.host(), Some(Named::Ipv4(address)) if address.is_link_local());
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if is_loopback(&url) || is_link_local => Ok(url),
        "http" => Err("it is neither on this host nor in 169.254.0.0/16, and plain http is spoken to no other"),
        _ => Err("it is neither http nor https"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(set: &[(&str, &str)]) -> Surroundings {
        Surroundings::read(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn told(set: &[(&str, &str)]) -> Result<(&'static str, String), String> {
        let told = Host::tell(&surroundings(set), PathBuf::from("/keys"));
        told.map(|(host, url)| (host.version(), url.to_string())).map_err(|refused| refused.to_string())
    }

    #[test]
    fn the_host_is_told_by_what_its_environment_says() {
        let service = ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token/");
        let (header, imds) = (("IDENTITY_HEADER", "canary"), ("IMDS_ENDPOINT", "http://localhost:40342"));
        let machine = "http://169.254.169.254/metadata/identity/oauth2/token";
        for (set, version, url) in [
            (&[][..], "2018-02-01", machine),
            (&[service], "2018-02-01", machine),
            (&[header, imds], "2018-02-01", machine),
            (&[service, header], "2019-08-01", service.1),
            (&[service, header, imds], "2019-08-01", service.1),
            (&[service, imds], "2020-06-01", service.1),
            (
                &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:2579/")],
                "2018-02-01",
                "http://127.0.0.1:2579/metadata/identity/oauth2/token",
            ),
        ] {
            assert_eq!(told(set), Ok((version, url.to_owned())), "{set:?}");
        }
    }

    #[test]
    fn plain_http_goes_to_this_host_or_its_link_and_nowhere_else() {
        let endpoint = |address: &str| {
            told(&[("IDENTITY_ENDPOINT", address), ("IDENTITY_HEADER", "canary"), ("IMDS_ENDPOINT", "x")])
        };
        for address in ["http://localhost:1/x", "http://[::1]/", "http://169.254.131.2:8081/msi", "https://10.0.0.1/x"]
        {
            assert!(endpoint(address).is_ok(), "{address}");
        }
        for address in [
            "http://10.0.0.1/x",
            "http://169.253.0.1/",
            "http://localhost.example/",
            "ftp://x",
            "x",
            "http://u:canary@[::1]/",
        ] {
            let refused = endpoint(address).unwrap_err();
            assert!(refused.contains("IDENTITY_ENDPOINT") && !refused.contains("canary"), "{refused}");
        }
    }
}
