//! What Azure tells a program about its identity: the variables that its hosts
//! set. Read in one place, and handed on.

use std::path::PathBuf;

use crate::ground::secret::Secret;

/// What the environment says. What is set but empty is not set.
#[derive(Default)]
pub struct Surroundings {
    /// `IDENTITY_ENDPOINT`: where an App Service, a Container App, a Function or
    /// an Azure Arc machine hands out tokens.
    pub identity_endpoint: Option<String>,
    /// `IDENTITY_HEADER`: what a request must show there.
    pub identity_header: Option<Secret>,
    /// `IMDS_ENDPOINT`: set beside `IDENTITY_ENDPOINT` by Azure Arc.
    pub imds_endpoint: Option<String>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: who stands in for the machine's own
    /// endpoint.
    pub pod_identity_authority_host: Option<String>,
    /// `AZURE_FEDERATED_TOKEN_FILE`: where a cluster leaves its token.
    pub federated_token_file: Option<PathBuf>,
    /// `AZURE_CLIENT_ID`: the application a cluster lets the program be.
    pub azure_client_id: Option<String>,
    /// `AZURE_TENANT_ID`: the application's tenant.
    pub azure_tenant_id: Option<String>,
    /// `AZURE_AUTHORITY_HOST`: who signs in there.
    pub azure_authority_host: Option<String>,
}

impl Surroundings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables by name.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            identity_endpoint: text("IDENTITY_ENDPOINT"),
            identity_header: text("IDENTITY_HEADER").map(Secret::new),
            imds_endpoint: text("IMDS_ENDPOINT"),
            pod_identity_authority_host: text("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
            federated_token_file: text("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
            azure_client_id: text("AZURE_CLIENT_ID"),
            azure_tenant_id: text("AZURE_TENANT_ID"),
            azure_authority_host: text("AZURE_AUTHORITY_HOST"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_but_empty_is_not_set() {
        let read = Surroundings::read(|name| match name {
            "IDENTITY_ENDPOINT" => Some(" \n".to_owned()),
            "IDENTITY_HEADER" => Some(String::new()),
            "AZURE_TENANT_ID" => Some("tenant\n".to_owned()),
            "AZURE_FEDERATED_TOKEN_FILE" => Some("/var/run/token".to_owned()),
            _ => None,
        });
        assert!(read.identity_endpoint.is_none() && read.identity_header.is_none() && read.imds_endpoint.is_none());
        assert_eq!(read.azure_tenant_id.as_deref(), Some("tenant"));
        assert_eq!(read.federated_token_file, Some(PathBuf::from("/var/run/token")));
    }
}
