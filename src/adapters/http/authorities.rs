//! Whom a TLS server may have its certificate from: the system's authorities,
//! and besides them those of `graph.ca_file`.
//!
//! The system's are found as every program here finds them: where
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` point, and only there if one is set, else
//! in the usual places. A client without a single authority could speak with
//! nobody, so there is none: that is said at the start, with the places.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The variables that move the system's authorities elsewhere.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where systems keep their authorities; the search itself is the TLS
/// library's, and this is how it is told to a person.
const PLACES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
];

/// Why the authorities of `graph.ca_file` cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesRefused {
    /// The file could not be read.
    #[error("read the authorities in {}: ca_file must name a readable PEM file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds none.
    #[error("read the authorities in {}: it holds no PEM certificate", .0.display())]
    Empty(PathBuf),
    /// The file holds something that is no certificate.
    #[error("read the authorities in {}: certificate {number} in it is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which one, from one.
        number: usize,
    },
}

/// Reads the authorities of a file.
pub(super) fn read(path: &Path) -> Result<Vec<Certificate>, AuthoritiesRefused> {
    let pem = std::fs::read(path).map_err(|source| AuthoritiesRefused::Unreadable { path: path.to_owned(), source })?;
    let mut found = Vec::new();
    // Each is tried by itself, so that the message can say which one is damaged.
    let mut trial = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let damaged = || AuthoritiesRefused::Damaged { path: path.to_owned(), number: at + 1 };
        let certificate = certificate.map_err(|_| damaged())?;
        trial.add(certificate.clone()).map_err(|_| damaged())?;
        found.push(Certificate::from_der(&certificate).map_err(|_| damaged())?);
    }
    if found.is_empty() {
        return Err(AuthoritiesRefused::Empty(path.to_owned()));
    }
    Ok(found)
}

/// Returns the places the system's authorities were looked for in, for a person.
pub(super) fn places() -> String {
    places_by(|name| std::env::var_os(name))
}

fn places_by(variable: impl Fn(&str) -> Option<OsString>) -> String {
    let set = VARIABLES.iter().filter_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)));
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={}", Path::new(&value).display())).collect();
    if set.is_empty() { PLACES.join(", ") } else { set.join(", ") }
}

/// Says once in the life of the process that the environment decides whom is
/// trusted: whoever can set a variable could read what is sent.
pub(super) fn tell() {
    static TOLD: Once = Once::new();
    if VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        TOLD.call_once(|| {
            tracing::info!(places = places(), "the environment decides which authorities are trusted for TLS");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_of_the_environment_where_it_names_some() {
        let variable = |name: &str| (name == "SSL_CERT_DIR").then(|| OsString::from("/nowhere"));
        assert_eq!(places_by(variable), "SSL_CERT_DIR=/nowhere");
        assert!(places_by(|_| None).starts_with("/etc/ssl/certs/ca-certificates.crt, "));
        assert!(places_by(|_| Some(OsString::new())).contains("/etc/ssl/cert.pem"));
    }

    #[test]
    fn a_file_that_holds_no_sound_certificate_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let refused = |path: &Path| {
            let refused = read(path).err().unwrap().to_string();
            assert!(refused.contains(path.to_str().unwrap()), "{refused}");
            refused
        };
        assert!(refused(&path).contains("readable"));
        for content in ["", "rubbish", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            std::fs::write(&path, content).unwrap();
            assert!(refused(&path).contains("no PEM certificate"), "{content}");
        }
        for body in ["AAAA", "!!!!"] {
            std::fs::write(&path, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")).unwrap();
            assert!(refused(&path).contains("certificate 1"), "{body}");
        }
    }
}
