//! Why a certificate and its key are of no use.

use chrono::{DateTime, Utc};

/// Why not, to come after the name of the file. It shows nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Neither of the two forms.
    #[error("it is neither PEM nor PKCS#12; put the certificate and its key there in one of these forms")]
    UnknownForm,
    /// A part of PEM has no end.
    #[error("its last part has no end; write it again, and whole files elsewhere first, to be renamed into place")]
    Unfinished,
    /// A part of PEM holds something else than base64.
    #[error("a part of it is not base64; write it again")]
    NotBase64,
    /// The archive cannot be read.
    #[error("it is no PKCS#12 that can be read, or not all of it; make it again with `openssl pkcs12 -export`")]
    BrokenArchive,
    /// The encryption is one that is not known here.
    #[error(
        "it is encrypted in a way that is not supported; make it again with `openssl pkcs12 -export`, \
         which takes AES, or take the password away with `openssl pkey`"
    )]
    UnknownCipher,
    /// The key is encrypted as OpenSSL did it long ago.
    #[error(
        "its key is encrypted in the old way of PEM, which is not supported; \
         turn it into PKCS#8 with `openssl pkcs8 -topk8`, or the whole into PKCS#12"
    )]
    OldEncryption,
    /// It needs a password and there is none.
    #[error("it has a password; name the file of the password in auth.certificate_password_file")]
    Locked,
    /// The password opens nothing.
    #[error("its password is another than the one in auth.certificate_password_file, or it is damaged")]
    WrongPassword,
    /// There is no key.
    #[error("it holds no private key; put the key there, beside its certificate")]
    NoKey,
    /// There are several keys.
    #[error("it holds {0} private keys, and which one is meant is not to be guessed; leave one")]
    ManyKeys(usize),
    /// The key is one on an elliptic curve.
    #[error(
        "its key is an elliptic curve (EC) key, and Microsoft Entra takes RSA only; make a certificate with an RSA key"
    )]
    EllipticCurve,
    /// The key is of another kind.
    #[error("its key is not an RSA key, and Microsoft Entra takes no other; make a certificate with an RSA key")]
    NotRsa,
    /// The key is too short to be safe.
    #[error("its RSA key has less than 2048 bits; make a certificate with a longer one")]
    ShortKey,
    /// The key is of no usual form.
    #[error("its key is damaged or of an unusual length; RSA with 2048, 3072 or 4096 bits will do")]
    BrokenKey,
    /// There is no certificate.
    #[error("it holds no certificate; put the certificate there, beside its key")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("a certificate in it cannot be read; write it again")]
    BrokenCertificate,
    /// The key belongs to none of the certificates.
    #[error("its key belongs to no certificate in it; put a key there and the certificate made for it")]
    Mismatch,
    /// The certificate is over.
    #[error("its certificate expired at {0}; make a new one, and register it with the application")]
    Expired(DateTime<Utc>),
    /// The certificate has not begun.
    #[error("its certificate is not valid before {0}; wait for that, or set this host's clock if that has passed")]
    NotYet(DateTime<Utc>),
}
