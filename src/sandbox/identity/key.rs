//! The key of the sandbox's client and of its outside issuer.

use std::io;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, SerialNumber, date_time_ymd};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

/// The key, which protects nothing; the file says why it is here.
const BUILT_IN: &[u8] = include_bytes!("key.pem");

/// An RSA key.
pub(in crate::sandbox) struct Key {
    der: Vec<u8>,
    pair: RsaKeyPair,
}

impl Key {
    pub(super) fn built_in() -> io::Result<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(BUILT_IN).map_err(io::Error::other)?;
        let der = der.secret_pkcs8_der().to_vec();
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { der, pair })
    }

    /// Returns the key in PKCS#8.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Makes a certificate of the key, signed by the key, in DER.
    pub(super) fn certificate(&self, serial: [u8; 16]) -> io::Result<Vec<u8>> {
        let der = PrivatePkcs8KeyDer::from(self.der.as_slice());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256).map_err(io::Error::other)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "edm-agent sandbox client");
        parameters.serial_number = Some(SerialNumber::from_slice(&serial));
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2100, 1, 1);
        Ok(parameters.self_signed(&pair).map_err(io::Error::other)?.der().to_vec())
    }

    /// Signs as RS256 does.
    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        match self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature) {
            Ok(()) => signature,
            // Only if the system has no randomness; what is empty verifies nowhere.
            Err(_) => Vec::new(),
        }
    }

    /// Returns the public half as ring takes it.
    pub(super) fn public(&self) -> &[u8] {
        self.pair.public().as_ref()
    }
}
