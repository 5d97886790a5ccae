//! TLS under a certificate authority that is made at the start and thrown away
//! at the end. Its key is never written anywhere.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The names under which a sandbox can always be reached.
pub(super) const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What TLS takes.
pub(super) struct Tls {
    /// The authority's certificate, in PEM.
    pub(super) ca_pem: String,
    pub(super) acceptor: TlsAcceptor,
}

impl Tls {
    /// Makes an authority, and under it a certificate for the sandbox's own
    /// names, the address it listens on, and these.
    pub(super) fn throw_away(listen: SocketAddr, names: &[String], with_http2: bool) -> io::Result<Self> {
        let mut subjects: BTreeSet<String> = OWN_NAMES.into_iter().map(str::to_owned).collect();
        subjects.insert(listen.ip().to_string());
        subjects.extend(names.iter().cloned());

        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "edm-agent sandbox, thrown away when it stops");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_pem = authority.self_signed(&key).map_err(io::Error::other)?.pem();
        let issuer = Issuer::new(authority, key);

        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut server = CertificateParams::new(Vec::from_iter(subjects)).map_err(io::Error::other)?;
        server.distinguished_name.push(DnType::CommonName, "edm-agent sandbox");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &issuer).map_err(io::Error::other)?;

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if with_http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(Self { ca_pem, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
