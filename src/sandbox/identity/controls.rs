//! What a test, or a person, does to the identities of a running sandbox.

use std::io;
use std::path::Path;
use std::time::Duration;

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

use super::certificate::Registered;
use super::federation::{self, Federation};
use crate::sandbox::Sandbox;

/// Rounds of the password of a PKCS#12 file: few, as it protects nothing.
const ROUNDS: u32 = 2_048;

impl Sandbox {
    /// Returns the certificate of the client and its key, in one PEM text.
    pub fn client_certificate_pem(&self) -> String {
        let identity = &self.service.identity;
        let key = pem("PRIVATE KEY", identity.key.der());
        format!("{}{key}", pem("CERTIFICATE", &identity.registry().own))
    }

    /// Returns the certificate of the client and its key as PKCS#12.
    ///
    /// # Errors
    ///
    /// If they cannot be encrypted.
    pub fn client_certificate_p12(&self, password: &str) -> io::Result<Vec<u8>> {
        let identity = &self.service.identity;
        let key = PrivateKey::from_der(identity.key.der()).map_err(io::Error::other)?;
        let certificate = Certificate::from_der(&identity.registry().own).map_err(io::Error::other)?;
        let mut store = KeyStore::new();
        let chain = PrivateKeyChain::new("client", key, [certificate]);
        store.add_entry("client", KeyStoreEntry::PrivateKeyChain(chain));
        let writer = store.writer(password).encryption_iterations(ROUNDS).mac_iterations(ROUNDS);
        writer.write().map_err(io::Error::other)
    }

    /// Makes another certificate for the client's key, registers it instead of
    /// all others, and returns it with the key, in one PEM text.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn rotate_client_certificate(&self) -> io::Result<String> {
        let identity = &self.service.identity;
        let own = identity.key.certificate(self.service.mint.serial())?;
        {
            let mut registry = identity.registry();
            registry.certificates = vec![Registered::new(own.clone())];
            registry.own = own;
        }
        Ok(self.client_certificate_pem())
    }

    /// Registers a certificate, in DER, besides those that are. Returns its
    /// thumbprint as `x5t#S256` spells it.
    pub fn register_certificate(&self, der: &[u8]) -> String {
        let registered = Registered::new(der.to_vec());
        let thumbprint = registered.thumbprint.clone();
        self.service.identity.registry().certificates.push(registered);
        thumbprint
    }

    /// Forgets a certificate, in DER; what it signs is refused from now on.
    pub fn forget_certificate(&self, der: &[u8]) {
        self.service.identity.registry().certificates.retain(|known| known.der != der);
    }

    /// Sets the client's secret to another; the one before is wrong from now on.
    pub fn set_client_secret(&self, secret: &str) {
        let mut registry = self.service.identity.registry();
        secret.clone_into(&mut registry.secret);
        registry.is_secret_expired = false;
    }

    /// Lets the client's secret expire, until it is set anew.
    pub fn expire_client_secret(&self) {
        self.service.identity.registry().is_secret_expired = true;
    }

    /// Mints a token of the outside issuer, as a cluster puts it into a pod.
    pub fn federated_token(&self, life: Duration) -> String {
        let service = &self.service;
        federation::mint(&service.identity.key, &service.mint.guid(), service.clock.date(), life)
    }

    /// Registers another issuer and subject for the client instead of those the
    /// sandbox's tokens name.
    pub fn set_federation(&self, issuer: &str, subject: &str) {
        let federation = Federation { issuer: issuer.to_owned(), subject: subject.to_owned() };
        self.service.identity.registry().federation = federation;
    }

    /// Demands from now on that tokens answer a claims challenge, and returns the
    /// claims they must be fetched with. The bearer token the sandbox was started
    /// with cannot; one that [`Sandbox::rotate_bearer`] makes afterwards does.
    pub fn demand_claims(&self) -> String {
        let now = self.service.clock.date();
        self.service.world().tokens.demand(now)
    }

    /// Withdraws all tokens that were handed out, but not the bearer token.
    pub fn revoke_tokens(&self) {
        self.service.world().tokens.withdraw();
    }

    /// Returns the tokens that were handed out and are still good, for a test that
    /// looks where they turn up.
    pub fn good_tokens(&self) -> Vec<String> {
        self.service.world().tokens.good()
    }

    /// Returns what `X-IDENTITY-HEADER` must be at the App Service endpoint.
    pub fn identity_header(&self) -> &str {
        &self.service.identity.header
    }

    /// Returns the folder in which the keys of Arc challenges are written.
    pub fn arc_key_dir(&self) -> &Path {
        self.service.identity.arc.directory()
    }
}

/// Writes PEM.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
