//! The signatures of bundles against `ssh-keygen` itself.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use edm_agent::adapters::signature::{
    NAMESPACE, Signature, SignatureError, Signer, TrustedKeys, digest, read_signature, signature_path,
};

use super::handoff::key;
use crate::support::private;
use crate::support::skip::{Need, skip};

fn ssh_keygen(dir: &Path, arguments: &[&str], input: Option<&str>) -> Option<Output> {
    let input = input.map_or_else(Stdio::null, |name| std::fs::File::open(dir.join(name)).unwrap().into());
    Command::new("ssh-keygen").args(arguments).current_dir(dir).stdin(input).output().ok()
}

#[test]
fn ssh_keygen_takes_our_signatures_and_we_take_its() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let Some(made) = ssh_keygen(dir.path(), &["-q", "-t", "ed25519", "-N", "", "-C", "made here", "-f", "key"], None)
    else {
        return skip(Need::OpenSsh, "ssh-keygen is not here");
    };
    assert!(made.status.success(), "{made:?}");
    let public = std::fs::read_to_string(path("key.pub")).unwrap();
    std::fs::write(path("allowed"), format!("hash-host namespaces=\"{NAMESPACE}\" {public}")).unwrap();
    std::fs::write(path("bundle"), vec![7; 300_000]).unwrap();
    let trusted = TrustedKeys::read(&path("allowed")).unwrap();
    let verify = ["-Y", "verify", "-n", NAMESPACE, "-f", "allowed", "-I", "hash-host", "-s", "bundle.sig"];

    let mut digester = Signer::digester();
    digester.update(&[7; 300_000]);
    let ours = Signer::read(&path("key")).unwrap().sign(&digester.finish());
    std::fs::write(path("bundle.sig"), ours.armoured()).unwrap();
    let verified = ssh_keygen(dir.path(), &verify, Some("bundle")).unwrap();
    assert!(verified.status.success(), "{verified:?}");

    for hash in ["sha256", "sha512"] {
        std::fs::remove_file(path("bundle.sig")).unwrap();
        let option = format!("hashalg={hash}");
        let signed =
            ssh_keygen(dir.path(), &["-Y", "sign", "-O", &option, "-n", NAMESPACE, "-f", "key", "bundle"], None);
        assert!(signed.as_ref().is_some_and(|signed| signed.status.success()), "{signed:?}");
        let theirs = read_signature(&path("bundle")).unwrap();
        let taken = |name: &str| {
            let digest = digest(&theirs, std::fs::File::open(path(name)).unwrap()).unwrap();
            trusted.check(&theirs, &digest, &path("bundle"))
        };
        taken("bundle").unwrap();
        assert!(taken("key.pub").is_err(), "{hash}: of another file");
        if hash == "sha512" {
            assert_eq!(theirs, ours, "Ed25519 draws nothing, so the same is signed the same");
            assert_eq!(theirs.armoured().as_bytes(), std::fs::read(path("bundle.sig")).unwrap());
        }
    }
    std::fs::remove_file(path("bundle.sig")).unwrap();
    assert!(
        ssh_keygen(dir.path(), &["-Y", "sign", "-n", "file", "-f", "key", "bundle"], None).unwrap().status.success()
    );
    assert!(read_signature(&path("bundle")).is_err(), "made for something else");
}

#[test]
fn a_signature_is_one_whole_text_with_every_field_as_it_must_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signer");
    private::write(&path, key("signer"));
    let mut digester = Signer::digester();
    digester.update(b"a bundle");
    let digest = digester.finish();
    let made = Signer::read(&path).unwrap().sign(&digest);
    let public = String::from_utf8(key("signer.pub")).unwrap();
    let trusted = TrustedKeys::parse(&format!("x {public}")).unwrap();
    trusted.check(&made, &digest, &path).unwrap();
    assert_eq!(signature_path(&path), dir.path().join("signer.sig"));

    let text = made.armoured();
    for (index, byte) in text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_graphic()) {
        let mut other = text.clone().into_bytes();
        other[index] = if byte == b'A' { b'B' } else { b'A' };
        let taken = Signature::parse(&other).is_some_and(|made| trusted.check(&made, &digest, &path).is_ok());
        assert!(!taken, "byte {index}");
        assert!(Signature::parse(&text.as_bytes()[..index]).is_none(), "the first {index}");
    }
    assert!(Signature::parse(format!("{text}{text}").as_bytes()).is_none());
}

#[test]
fn a_list_of_signers_is_taken_as_it_is_meant_or_not_at_all() {
    let public = String::from_utf8(key("signer.pub")).unwrap();
    let public = public.trim();
    let ours = "namespaces=\"file,edm-agent-bundle\"";
    for good in [
        format!("hash-host {public}"),
        format!("# who may\n\n\"a b\",c\t{ours}\t{public}"),
        format!("host ecdsa-sha2-nistp256 AAAA of another kind\nhost {public}"),
        format!("x namespaces=\"git\" ssh-ed25519 AAAA\nhost {public}"),
    ] {
        TrustedKeys::parse(&good).unwrap_or_else(|problem| panic!("{problem}: {good}"));
    }
    for (bad, holds) in [
        (String::new(), "no Ed25519 key"),
        (format!("host namespaces=\"file\" {public}"), "no Ed25519 key"),
        (format!("host cert-authority {public}"), "line 1: the option `cert-authority`"),
        (format!("host {ours},valid-before=\"20200101\" {public}"), "the option `valid-before`"),
        (format!("host namespaces=\"edm-*\" {public}"), "a pattern"),
        (format!("host namespaces=\"edm-agent-bundle,!x\" {public}"), "a pattern"),
        (public.to_owned(), "line 1"),
        ("host ssh-ed25519 AAAA".to_owned(), "not whole"),
        ("host".to_owned(), "line 1"),
    ] {
        let problem = TrustedKeys::parse(&bad).err().unwrap_or_else(|| panic!("{bad} was taken"));
        assert!(problem.contains(holds), "{holds}: {problem}");
    }

    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("trusted");
    private::write(&list, format!("hash-host {public}\n"));
    for (mode, is_good) in [(0o644, true), (0o400, true), (0o664, false), (0o646, false)] {
        std::fs::set_permissions(&list, Permissions::from_mode(mode)).unwrap();
        let read = TrustedKeys::read(&list);
        assert_eq!(read.is_ok(), is_good, "{mode:o}");
        assert!(
            read.err().is_none_or(|error| matches!(&error, SignatureError::List(text) if text.contains("chmod go-w")))
        );
    }
    assert!(TrustedKeys::read(Path::new("/nowhere")).is_err());
}
