//! Bundles that are handed over: sealed to their recipients, signed, and taken
//! whole or not at all.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use edm_agent::adapters::bundle::{
    self, Bundle, ExitClass, Handoff, HashError, HashProgress, Identities, KEY_LIMIT, Limits, NO_PIPE, Recipients,
    SealedError,
};
use edm_agent::adapters::signature::{Signer, TrustedKeys, signature_path};
use edm_agent::table::manifest::Manifest;

use super::{Desk, SALT, Stopped, blocks, suite_file};
use crate::support::private;

/// Bytes before the manifest, as docs/BUNDLE.md has it.
const HEADER: usize = 76;

/// A key of these tests: `signer`, `other`, `locked` or `ecdsa`.
pub(super) fn key(name: &str) -> Vec<u8> {
    std::fs::read(suite_file("handoff").join(name)).unwrap()
}

/// A list that trusts `signer`.
fn trusted() -> TrustedKeys {
    TrustedKeys::parse(&format!("hash-host {}", String::from_utf8(key("signer.pub")).unwrap())).unwrap()
}

/// A host that hashes and one that uploads, with a key for each.
struct Two {
    desk: Desk,
    identity: Identity,
}

impl Two {
    fn new(rows: usize) -> Self {
        let desk = Desk::rows(rows);
        let two = Self { desk, identity: Identity::generate() };
        private::write(&two.path("identity"), two.identity.to_string().expose_secret());
        for name in ["signer", "other"] {
            private::write(&two.path(name), key(name));
        }
        std::fs::create_dir(two.path("theirs")).unwrap();
        two
    }

    fn path(&self, name: &str) -> PathBuf {
        self.desk.path(name)
    }

    fn recipients(&self) -> Recipients {
        Recipients::read(&[self.identity.to_public().to_string()], &[]).unwrap()
    }

    fn identities(&self) -> Identities {
        Identities::read(&self.path("identity")).unwrap()
    }

    /// Hashes into a sealed file, signed by a key if one is named.
    fn seal(&self, name: &str, signer: Option<&str>) -> Manifest {
        self.make(name, Some(&self.recipients()), signer).unwrap()
    }

    fn make(&self, name: &str, recipients: Option<&Recipients>, signer: Option<&str>) -> Result<Manifest, HashError> {
        let mut order = self.desk.order.clone();
        order.output = self.path(name);
        let signer = signer.map(|name| Signer::read(&self.path(name)).unwrap());
        let handoff = Handoff { recipients, signer: signer.as_ref() };
        bundle::hand_off(&order, handoff, NO_PIPE, &Stopped, &HashProgress::default(), &AtomicBool::new(false))
    }

    /// Opens a sealed file on the other host.
    fn open(&self, name: &str, trusted: Option<&TrustedKeys>) -> Result<Bundle, SealedError> {
        self.open_within(name, trusted, Limits::default(), false)
    }

    fn open_within(
        &self,
        name: &str,
        trusted: Option<&TrustedKeys>,
        limits: Limits,
        stop: bool,
    ) -> Result<Bundle, SealedError> {
        let output = self.path("theirs/bundle");
        let opened =
            bundle::unseal(&self.path(name), &self.identities(), trusted, &output, limits, &AtomicBool::new(stop));
        if opened.is_err() {
            let left: Vec<_> = self.path("theirs").read_dir().unwrap().collect();
            assert!(left.is_empty(), "nothing is left behind: {left:?}");
        }
        opened
    }

    /// Seals bytes that are not from `hash`.
    fn seal_bytes(&self, name: &str, bytes: &[u8]) {
        let recipient = self.identity.to_public();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
        let mut output = encryptor.wrap_output(std::fs::File::create(self.path(name)).unwrap()).unwrap();
        output.write_all(bytes).unwrap();
        output.finish().unwrap();
    }

    /// What is in a sealed file, by the library and not by the agent.
    fn plain(&self, name: &str) -> Vec<u8> {
        let sealed = std::fs::File::open(self.path(name)).unwrap();
        let mut plain = Vec::new();
        let decryptor = age::Decryptor::new(sealed).unwrap();
        decryptor.decrypt(std::iter::once(&self.identity as _)).unwrap().read_to_end(&mut plain).unwrap();
        plain
    }
}

fn assert_refused(opened: Result<Bundle, SealedError>, class: ExitClass, holds: &str) {
    let error = opened.err().unwrap_or_else(|| panic!("it was taken: {holds}"));
    let text = format!("{error}");
    assert!(error.class() == class && text.contains(holds), "{holds:?}, {class:?}: {error:?}: {text}");
}

#[test]
fn a_sealed_bundle_opens_to_the_very_bundle_and_shows_nothing_on_the_way() {
    // More than one chunk of age.
    let two = Two::new(2_000);
    let manifest = two.seal("sealed", Some("signer"));
    let plain = two.desk.hash().unwrap();

    let names: Vec<String> = two.desk.names().into_iter().filter(|name| name.starts_with("sealed")).collect();
    assert_eq!(names, ["sealed", "sealed.sig"], "neither cells nor parts are left");
    let sealed = std::fs::read(two.path("sealed")).unwrap();
    assert_eq!(std::fs::metadata(two.path("sealed")).unwrap().permissions().mode() & 0o777, 0o600);
    let cell = &blocks(&plain)[16..48];
    for secret in [SALT.as_bytes(), cell, b"rows_per_block"] {
        assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    }
    let opened = two.open("sealed", Some(&trusted())).unwrap();
    assert_eq!(blocks(&opened), blocks(&plain));
    assert_eq!((opened.manifest(), opened.salt().expose_text()), (&manifest, SALT));
    assert_eq!(opened.manifest(), plain.manifest(), "sealing changes nothing");
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(opened.dir().to_owned()), mode(opened.dir().join("salt"))), (0o700, 0o600));
}

#[test]
fn the_library_alone_opens_a_sealed_bundle_and_finds_what_the_page_says() {
    let two = Two::new(50);
    let manifest = two.seal("sealed", None);
    let plain = two.plain("sealed");

    assert_eq!(plain[..8], *b"EDMS\x01\0\0\0");
    let length = u32::from_le_bytes(plain[8..12].try_into().unwrap()) as usize;
    assert_eq!(plain[12..HEADER], *SALT.as_bytes());
    assert_eq!(serde_json::from_slice::<Manifest>(&plain[HEADER..HEADER + length]).unwrap(), manifest);
    assert_eq!(plain[HEADER + length..], blocks(&two.desk.hash().unwrap()));
    two.seal_bytes("theirs-too", &plain);
    two.open("theirs-too", None).unwrap();
}

#[test]
fn a_byte_that_is_changed_missing_or_added_anywhere_refuses_a_sealed_bundle() {
    let two = Two::new(30);
    two.seal("sealed", None);
    let sealed = std::fs::read(two.path("sealed")).unwrap();
    let refused = |bytes: &[u8], case: &str| {
        std::fs::write(two.path("tampered"), bytes).unwrap();
        let error = two.open("tampered", None).err().unwrap_or_else(|| panic!("{case} was taken"));
        assert_eq!(error.class(), ExitClass::BadData, "{case}: {error}");
    };
    let header = sealed.windows(5).position(|window| window == b"\n--- ").unwrap() + 64;
    for at in (0..header).chain((header..sealed.len()).step_by(31)) {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        refused(&bytes, &format!("byte {at} of {}", sealed.len()));
    }
    for length in (0..sealed.len()).step_by(53).chain([sealed.len() - 1]) {
        refused(&sealed[..length], &format!("the first {length} bytes"));
    }
    for more in [&b"\0"[..], b"\n", &sealed] {
        refused(&[&sealed, more].concat(), "a longer one");
    }
    two.open("sealed", None).unwrap();
}

#[test]
fn chunks_of_a_sealed_bundle_cannot_be_cut_off_added_or_swapped() {
    let two = Two::new(4_000);
    two.seal("sealed", None);
    let sealed = std::fs::read(two.path("sealed")).unwrap();
    let chunk = (64 << 10) + 16;
    let start = sealed.windows(5).position(|window| window == b"\n--- ").unwrap() + 5 + 43 + 1 + 16;
    let (head, body) = sealed.split_at(start);
    let chunks: Vec<&[u8]> = body.chunks(chunk).collect();
    assert!(chunks.len() > 3);
    for (case, order) in [
        ("cut", (0..chunks.len() - 1).collect::<Vec<_>>()),
        ("swapped", [vec![0, 2, 1], (3..chunks.len()).collect()].concat()),
        ("doubled", [vec![0, 1, 1], (2..chunks.len()).collect()].concat()),
        ("followed", (0..chunks.len()).chain([0]).collect()),
    ] {
        let bytes = [head, &order.iter().map(|&index| chunks[index]).collect::<Vec<_>>().concat()].concat();
        std::fs::write(two.path("tampered"), bytes).unwrap();
        let error = two.open("tampered", None).err().unwrap_or_else(|| panic!("{case} was taken"));
        assert_eq!(error.class(), ExitClass::BadData, "{case}: {error}");
    }
}

#[test]
fn what_is_sealed_to_others_or_was_never_a_sealed_bundle_is_told_apart() {
    let two = Two::new(10);
    let stranger = Recipients::read(&[Identity::generate().to_public().to_string()], &[]).unwrap();
    two.make("strangers", Some(&stranger), None).unwrap();
    assert_refused(two.open("strangers", None), ExitClass::BadData, "sealed to other keys");

    let passphrase = age::Encryptor::with_user_passphrase("open sesame".to_owned().into());
    passphrase.wrap_output(std::fs::File::create(two.path("phrase")).unwrap()).unwrap().finish().unwrap();
    assert_refused(two.open("phrase", None), ExitClass::BadData, "sealed to other keys");

    let endless = [&b"age-encryption.org/v1\n"[..], &b"-> X25519 a\nb\n".repeat(100_000)].concat();
    for (name, bytes) in [("empty", &b""[..]), ("text", b"A,B\n1,2\n"), ("endless", &endless)] {
        std::fs::write(two.path(name), bytes).unwrap();
        assert_refused(two.open(name, None), ExitClass::BadData, "no file of age");
    }
    assert_refused(two.open("nowhere", None), ExitClass::LocalIo, "nowhere");
    assert_refused(two.open("theirs", None), ExitClass::LocalIo, "check that it is a file");
}

#[test]
fn what_is_sealed_is_held_to_its_own_word_and_to_the_limits() {
    let two = Two::new(100);
    let manifest = two.seal("sealed", None);
    let plain = two.plain("sealed");
    let length = u32::from_le_bytes(plain[8..12].try_into().unwrap()) as usize;
    let (text, blocks) = (plain[HEADER..HEADER + length].to_vec(), plain[HEADER + length..].to_vec());
    let built = |manifest: &Manifest, salt: &str, blocks: &[u8]| {
        let text = serde_json::to_vec(manifest).unwrap();
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        [&plain[..8], &length, salt.as_bytes(), &text, blocks].concat()
    };
    let other_salt = SALT.replacen('0', "1", 1);
    let mut flipped = blocks.clone();
    flipped[20] ^= 1;
    let mut longer = manifest.clone();
    longer.bytes += 64;
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("another layout", [b"EDMS\x02\0\0\0", &plain[8..]].concat(), "its layout is 2, and this build reads 1"),
        ("something else", [b"tar!", &plain[4..]].concat(), "something else than a bundle"),
        ("nothing", Vec::new(), "changed or cut short"),
        ("a manifest without end", [&plain[..8], &[0xff; 4], &plain[12..]].concat(), "longer than any"),
        ("a manifest that ends", plain[..HEADER + 20].to_vec(), "ends within its manifest"),
        ("no salt", built(&manifest, &"/".repeat(64), &blocks), "its salt is not 64 characters"),
        ("another salt", built(&manifest, &other_salt, &blocks), "its salt is not the one"),
        ("fewer blocks", built(&manifest, SALT, &blocks[1..]), "ends within its blocks"),
        ("more blocks", built(&manifest, SALT, &[&blocks[..], b"x"].concat()), "something follows its blocks"),
        ("changed blocks", built(&manifest, SALT, &flipped), "SHA-256 of its blocks"),
        ("counts that disagree", built(&longer, SALT, &blocks), "do not agree"),
    ];
    for (case, bytes, holds) in cases {
        two.seal_bytes(case, &bytes);
        assert_refused(two.open(case, None), ExitClass::BadData, holds);
    }
    // Every digest but that of one block agrees.
    let mut lying = manifest.clone();
    lying.blocks[0].sha256 = "0".repeat(64);
    two.seal_bytes("a block", &built(&lying, SALT, &blocks));
    assert_refused(two.open("a block", None), ExitClass::BadData, "block 0");
    assert_eq!(serde_json::to_vec_pretty(&manifest).unwrap(), text[..text.len() - 1]);

    let small = Limits { bytes: Some(blocks.len() as u64), ..Limits::default() };
    assert_refused(two.open_within("sealed", None, small, false), ExitClass::LocalIo, "bundles.max_bytes");
    let crowded = Limits { keep_free: u64::MAX >> 1, ..Limits::default() };
    assert_refused(two.open_within("sealed", None, crowded, false), ExitClass::LocalIo, "to keep free");
    let stopped = two.open_within("sealed", None, Limits::default(), true);
    assert_refused(stopped, ExitClass::TryLater, "stopped on request");
}

#[test]
fn a_bundle_nobody_trusted_vouches_for_is_refused_in_either_form() {
    let two = Two::new(20);
    let plain = |name: &str| Bundle::open(&two.path(name)).unwrap();
    let check = |name: &str| bundle::check_signature(&plain(name), &trusted());
    for (name, is_sealed) in [("sealed", true), ("folder", false)] {
        let make = |name: &str, signer| two.make(name, is_sealed.then(|| two.recipients()).as_ref(), signer).unwrap();
        let taken = |name: &str| match is_sealed {
            true => two.open(name, Some(&trusted())).map(|bundle| bundle.remove().unwrap()),
            false => check(name),
        };
        let refused = |name: &str, holds: &str| {
            let error = taken(name).err().unwrap_or_else(|| panic!("{name} was taken: {holds}"));
            assert_eq!(error.class(), ExitClass::BadData, "{error}");
            assert!(error.to_string().contains(holds), "{holds}: {error}");
        };
        make(name, Some("signer"));
        taken(name).unwrap();

        let [other, unsigned, second] = ["others", "unsigned", "second"].map(|it| format!("{it}-{name}"));
        make(&other, Some("other"));
        refused(&other, "none of the trusted ones");
        make(&unsigned, None);
        refused(&unsigned, ".sig: ");
        // The signature of another bundle of the same signer.
        make(&second, Some("signer"));
        let mut manifest = std::fs::read(two.path(&second).join("manifest.json")).unwrap_or_default();
        match is_sealed {
            true => (),
            false => {
                manifest.push(b'\n');
                std::fs::write(two.path(&second).join("manifest.json"), manifest).unwrap();
                refused(&second, "not of these bytes");
            }
        }
        std::fs::copy(signature_path(&two.path(name)), signature_path(&two.path(&unsigned))).unwrap();
        if is_sealed {
            refused(&unsigned, "not of these bytes");
        }
        for text in ["", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"] {
            std::fs::write(signature_path(&two.path(&unsigned)), text).unwrap();
            refused(&unsigned, "no Ed25519 signature of OpenSSH");
        }
    }
}

#[test]
fn a_signature_of_a_folder_holds_for_its_salt_too() {
    let two = Two::new(20);
    two.make("folder", None, Some("signer")).unwrap();
    let salt = two.path("folder/salt");
    std::fs::write(&salt, SALT.replacen('0', "1", 1)).unwrap();
    let error = Bundle::open(&two.path("folder")).unwrap_err();
    assert!(error.to_string().contains("its salt is not the one"), "{error}");

    // One of before there was a digest of the salt.
    std::fs::write(&salt, SALT).unwrap();
    let path = two.path("folder/manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let old: String =
        text.lines().filter(|line| !line.contains("salt_sha256")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, old).unwrap();
    let bundle = Bundle::open(&two.path("folder")).unwrap();
    let error = bundle::check_signature(&bundle, &trusted()).unwrap_err();
    assert!(error.to_string().contains("nobody vouches for the salt"), "{error}");
}

#[test]
fn a_sealed_bundle_takes_no_place_that_is_taken_and_waits_for_nobody() {
    let two = Two::new(10);
    two.seal("sealed", None);
    std::fs::create_dir(two.path("folder")).unwrap();
    std::os::unix::fs::symlink("/nowhere", two.path("link")).unwrap();
    for name in ["sealed", "folder", "link"] {
        let error = two.make(name, Some(&two.recipients()), None).unwrap_err();
        assert!(matches!(error, HashError::OutputExists(_)), "{error}");
    }
    // Left by a process that was killed: it is replaced; one that is made now is not.
    private::write(&two.path("new.partial"), "half a bundle");
    let left = std::fs::File::open(two.path("new.partial")).unwrap();
    rustix::fs::flock(&left, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = two.make("new", Some(&two.recipients()), None).unwrap_err();
    assert!(matches!(error, HashError::Busy(_)), "{error}");
    drop(left);
    two.seal("new", None);
    two.open("new", None).unwrap();
}

#[test]
fn keys_are_read_strictly_and_never_repeated() {
    let two = Two::new(1);
    let public = two.identity.to_public().to_string();
    let secret = two.identity.to_string();
    let write = |name: &str, text: &str| {
        private::write(&two.path(name), text);
        two.path(name)
    };
    let file = write("recipients", &format!("# ours\n{public}\n\n  {public}\n"));
    Recipients::read(std::slice::from_ref(&public), &[file]).unwrap();
    let many: Vec<String> = vec![public.clone(); KEY_LIMIT + 1];
    let none = write("none", "# nobody\n");
    for (words, files, holds) in [
        (&[secret.expose_secret().to_owned()][..], vec![], "it is a secret key; replace"),
        (&["age1nonsense".to_owned()], vec![], "--recipient 1: it is no X25519 recipient"),
        (&many, vec![], "at most 20"),
        (&[], vec![none], "the files name none"),
        (&[], vec![write("bad", &format!("{public}\nssh-ed25519 AAAA\n"))], "line 2"),
        (&[], vec![two.path("nowhere")], "nowhere"),
    ] {
        let text = Recipients::read(words, &files).err().unwrap().to_string();
        assert!(text.contains(holds) && !text.contains(secret.expose_secret()), "{holds}: {text}");
    }
    for (content, holds) in [
        (public.as_str(), "line 1 is no AGE-SECRET-KEY-1"),
        ("# none\n", "it holds no key"),
        (&format!("{}\n", secret.expose_secret()).repeat(KEY_LIMIT + 1), "at most 20"),
    ] {
        let text = Identities::read(&write("odd", content)).err().unwrap().to_string();
        assert!(text.contains(holds) && !text.contains(secret.expose_secret()), "{holds}: {text}");
    }
    let wide = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(two.path("identity"), wide.clone()).unwrap();
    assert!(Identities::read(&two.path("identity")).err().unwrap().to_string().contains("chmod 0600"));

    for (name, holds) in [("locked", "with a passphrase"), ("ecdsa", "not one whole Ed25519 key")] {
        private::write(&two.path(name), key(name));
        assert!(Signer::read(&two.path(name)).err().unwrap().to_string().contains(holds), "{name}");
    }
    assert!(Signer::read(&write("text", "hello")).err().unwrap().to_string().contains("no key of OpenSSH"));
    std::fs::set_permissions(two.path("signer"), wide).unwrap();
    assert!(Signer::read(&two.path("signer")).err().unwrap().to_string().contains("chmod 0600"));
}
