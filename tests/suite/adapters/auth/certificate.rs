//! Client certificates: what is taken, what is refused, and how one is renewed.

use edm_agent::adapters::auth::assertion::sign;
use edm_agent::adapters::auth::certificate::{Certificate, CertificateFile, Unfit};
use edm_agent::adapters::auth::credential::FileTrouble;

use super::{date, secret, today, vectors};
use crate::support::private;

/// What OpenSSL says of `certificate.pem` (`x509 -fingerprint -sha1`, `-sha256`).
const SHA1: &str = "1A57AD3111646525B1534A7B104234A4272C5AF1";
const SHA256: &str = "0E7B0DF5C0DF1E92531C7011CF4544B77516F68945A308F7993B22532FCC0823";

fn read(names: &[&str], password: Option<&str>) -> Result<Certificate, Unfit> {
    Certificate::read(&vectors(names), password.map(secret).as_ref(), today())
}

fn unfit(names: &[&str], password: Option<&str>) -> Unfit {
    read(names, password).err().unwrap_or_else(|| panic!("{names:?} was taken"))
}

#[test]
fn a_pair_is_read_in_every_form_it_comes_in() {
    for (names, password) in [
        (&["certificate.pem", "key.pem"][..], None),
        (&["key.pem", "certificate.pem"], None),
        (&["key.pem", "certificate.pem"], Some("not needed")),
        (&["key.pkcs1.pem", "certificate.pem"], None),
        (&["certificate.pem", "key.locked.pem"], Some("canary")),
        (&["other.certificate.pem", "key.pem", "certificate.pem"], None),
        (&["modern.p12"], Some("canary")),
        (&["legacy.p12"], Some("canary")),
        (&["open.p12"], None),
        (&["open.p12"], Some("")),
    ] {
        let pair = read(names, password).unwrap_or_else(|unfit| panic!("{names:?}: {unfit}"));
        assert_eq!((pair.sha1(), pair.sha256()), (SHA1, SHA256), "{names:?}");
        assert_eq!(pair.ends(), date("2120-01-01T00:00:00Z"));
    }
}

#[test]
fn what_the_authority_would_refuse_is_refused_here_by_name() {
    for (names, password, expected) in [
        (&["certificate.pem"][..], None, Unfit::NoKey),
        (&["keyless.p12"], Some("canary"), Unfit::NoKey),
        (&["key.pem"], None, Unfit::NoCertificate),
        (&["certificate.pem", "key.pem", "other.key.pem"], None, Unfit::ManyKeys(2)),
        (&["certificate.pem", "other.key.pem"], None, Unfit::Mismatch),
        (&["small.certificate.pem", "small.key.pem"], None, Unfit::ShortKey),
        (&["ec.certificate.pem", "ec.key.pem"], None, Unfit::EllipticCurve),
        (&["certificate.pem", "key.locked.pem"], None, Unfit::Locked),
        (&["certificate.pem", "key.locked.pem"], Some("wrong"), Unfit::WrongPassword),
        (&["certificate.pem", "key.old.pem"], Some("canary"), Unfit::OldEncryption),
        (&["modern.p12"], None, Unfit::Locked),
        (&["modern.p12"], Some("wrong"), Unfit::WrongPassword),
        (&["legacy.p12"], Some("wrong"), Unfit::WrongPassword),
        (&["make.sh"], None, Unfit::UnknownForm),
    ] {
        assert_eq!(unfit(names, password), expected, "{names:?}");
    }
}

#[test]
fn a_certificate_is_taken_on_the_days_it_is_valid_and_on_no_other() {
    let on = |day| Certificate::read(&vectors(&["certificate.pem", "key.pem"]), None, date(day)).err();
    let (begins, ends) = (date("2020-01-01T00:00:00Z"), date("2120-01-01T00:00:00Z"));
    assert_eq!(on("2019-12-31T23:59:59Z"), Some(Unfit::NotYet(begins)));
    assert_eq!(on("2020-01-01T00:00:00Z"), None);
    assert_eq!(on("2120-01-01T00:00:00Z"), None);
    assert_eq!(on("2120-01-01T00:00:01Z"), Some(Unfit::Expired(ends)));
    assert!(Unfit::Expired(ends).to_string().contains("2120-01-01"));
}

#[test]
fn a_certificate_is_worth_a_warning_in_its_last_thirty_days() {
    let pair = read(&["certificate.pem", "key.pem"], None).ok().unwrap();
    assert!(!pair.ends_soon(date("2119-12-01T23:59:59Z")));
    assert!(pair.ends_soon(date("2119-12-02T00:00:01Z")));
}

#[test]
fn a_file_cut_anywhere_is_never_taken_for_another_pair() {
    for (names, password) in [
        (&["certificate.pem", "key.pem"][..], None),
        (&["key.pkcs1.pem", "certificate.pem"], None),
        (&["open.p12"], None),
    ] {
        let whole = vectors(names);
        // Only the line's end may be missing.
        for length in (0..whole.len() - 1).step_by(7) {
            assert!(Certificate::read(&whole[..length], password, today()).is_err(), "{names:?} cut at {length}");
        }
    }
}

#[test]
fn a_key_whose_damage_shows_only_when_it_signs_is_refused_when_it_is_read() {
    let mut content = vectors(&["certificate.pem", "key.pem"]);
    assert_ne!(content[2_157], b'/');
    content[2_157] = b'/';
    assert_eq!(Certificate::read(&content, None, today()).err(), Some(Unfit::BrokenKey));
}

proptest::proptest! {
    #[test]
    fn no_damage_breaks_the_reading(at in 0_usize..4_000, byte in proptest::prelude::any::<u8>()) {
        for names in [&["certificate.pem", "key.pem"][..], &["open.p12"]] {
            let mut content = vectors(names);
            let at = at % content.len();
            content[at] = byte;
            // Who signed a certificate is the authority's business, so one that says
            // something else may be taken; it is this key's all the same.
            if let Ok(pair) = Certificate::read(&content, None, today()) {
                let statement = sign(&pair, "audience", "client", today());
                proptest::prop_assert!(statement.is_ok());
            }
        }
    }
}

/// A certificate's file in a folder of its own.
struct Shelf {
    folder: tempfile::TempDir,
    file: CertificateFile,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = CertificateFile::new(folder.path().join("pair.pem"), None);
        Self { folder, file }
    }

    fn put(&self, content: &[u8]) {
        private::write(&self.folder.path().join("pair.pem"), content);
    }

    fn sha1(&self) -> Result<String, FileTrouble> {
        self.file.current(today()).map(|pair| pair.sha1().to_owned())
    }
}

#[test]
fn a_pair_half_written_is_not_taken_and_a_whole_one_is() {
    let shelf = Shelf::new();
    shelf.put(&vectors(&["certificate.pem", "key.pem"]));
    assert_eq!(shelf.sha1().as_deref(), Ok(SHA1));

    let renewed = vectors(&["other.certificate.pem", "other.key.pem"]);
    for length in [0, 1, 500, 1_200, renewed.len() - 40] {
        shelf.put(&renewed[..length]);
        assert_eq!(shelf.sha1().as_deref(), Ok(SHA1), "{length} bytes of the new pair are there");
        assert!(shelf.file.look(today()).is_err(), "{length}");
    }
    // The new certificate stands beside the old key.
    shelf.put(&vectors(&["other.certificate.pem", "key.pem"]));
    assert_eq!(shelf.sha1().as_deref(), Ok(SHA1));

    shelf.put(&renewed);
    let other = shelf.sha1().unwrap();
    assert_ne!(other, SHA1);
    std::fs::remove_file(shelf.folder.path().join("pair.pem")).unwrap();
    assert_eq!(shelf.sha1(), Ok(other), "a file that is gone takes nothing away");
}

#[test]
fn a_pair_that_others_may_read_is_not_taken() {
    let shelf = Shelf::new();
    shelf.put(&vectors(&["certificate.pem", "key.pem"]));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(shelf.folder.path().join("pair.pem"), open).unwrap();
    assert!(matches!(shelf.sha1(), Err(FileTrouble::Unusable(text)) if text.contains("0644")));
}

#[test]
fn a_pair_that_was_read_is_not_read_again_until_its_file_changes() {
    let shelf = Shelf::new();
    shelf.put(&vectors(&["certificate.pem", "key.pem"]));
    let (one, two) = (shelf.file.current(today()).ok().unwrap(), shelf.file.current(today()).ok().unwrap());
    assert!(std::sync::Arc::ptr_eq(&one, &two));
}

#[test]
fn a_pair_that_ended_while_it_was_held_is_handed_out_no_more() {
    let shelf = Shelf::new();
    shelf.put(&vectors(&["certificate.pem", "key.pem"]));
    shelf.sha1().unwrap();
    let later = date("2121-01-01T00:00:00Z");
    let said = shelf.file.current(later).err();
    assert!(matches!(&said, Some(FileTrouble::Unusable(text)) if text.contains("expired at 2120-01-01")), "{said:?}");
    shelf.put(b"-----BEGIN CERTIFICATE-----\n");
    let said = shelf.file.current(later).err();
    assert!(matches!(&said, Some(FileTrouble::Unusable(text)) if text.contains("no end")), "{said:?}");
}

#[test]
fn a_password_is_read_from_its_file_and_what_is_wrong_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, password) = (folder.path().join("pair"), folder.path().join("password"));
    let file = CertificateFile::new(archive.clone(), Some(password.clone()));
    let trouble = |file: &CertificateFile| match file.current(today()).err().unwrap() {
        FileTrouble::Missing(text) => (true, text),
        FileTrouble::Unusable(text) => (false, text),
    };
    let (is_missing, said) = trouble(&file);
    assert!(is_missing && said.contains(password.to_str().unwrap()), "{said}");
    private::write(&password, "wrong\n");
    let (is_missing, said) = trouble(&file);
    assert!(is_missing && said.contains(archive.to_str().unwrap()), "{said}");
    private::write(&archive, vectors(&["modern.p12"]));
    let (is_missing, said) = trouble(&file);
    assert!(!is_missing && said.contains("password") && !said.contains("wrong"), "{said}");
    private::write(&password, "canary\n");
    assert_eq!(file.current(today()).ok().unwrap().sha1(), SHA1);
    assert_eq!(file.marks().len(), 2);
}
