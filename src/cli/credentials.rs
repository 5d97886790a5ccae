//! `sandbox --credentials`: a credential of every kind, ready to be tried, and
//! what to write into the settings for each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sandbox::write_secret;
use crate::agent::exit::{Exit, Trouble};
use crate::sandbox::{CLIENT_ID, CLIENT_SECRET, Sandbox, TENANT_ID};

/// The password of the PKCS#12 file, which protects nothing.
const PASSWORD: &str = "sandbox";

/// How long the token of the outside issuer is good for: a day of trying.
const FEDERATED_LIFE: Duration = Duration::from_secs(86_400);

/// Credentials in a folder, removed when this is dropped.
pub(super) struct Credentials {
    folder: PathBuf,
    written: Vec<PathBuf>,
}

impl Credentials {
    /// Writes them, each to a file only its owner can read.
    pub(super) fn write(sandbox: &Sandbox, folder: &Path) -> Result<Self, Trouble> {
        let failed = |step: &str, error: &std::io::Error| {
            Trouble::new(Exit::LocalIo, format!("{step} {}: {error}", folder.display()))
        };
        std::fs::create_dir_all(folder).map_err(|error| failed("make the folder", &error))?;
        let folder = folder.canonicalize().map_err(|error| failed("find the folder", &error))?;
        let archive =
            sandbox.client_certificate_p12(PASSWORD).map_err(|error| failed("make a PKCS#12 file for", &error))?;
        let line = |text: &str| format!("{text}\n").into_bytes();
        let mut credentials = Self { folder, written: Vec::new() };
        for (name, secret) in [
            ("client-secret", line(CLIENT_SECRET)),
            ("client-certificate.pem", sandbox.client_certificate_pem().into_bytes()),
            ("client-certificate.p12", archive),
            ("client-certificate.password", line(PASSWORD)),
            ("federated-token", line(&sandbox.federated_token(FEDERATED_LIFE))),
            ("identity-header", line(sandbox.identity_header())),
        ] {
            let path = credentials.folder.join(name);
            write_secret(&path, &secret)?;
            credentials.written.push(path);
        }
        Ok(credentials)
    }

    /// Returns the sections that use them, as comments of the settings.
    pub(super) fn explain(&self, sandbox: &Sandbox) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let file = |name: &str| quoted(&self.folder.join(name).display().to_string());
        let origin = sandbox.origin();
        let who = format!(
            "authority = {}\ntenant_id = {}\nclient_id = {}\n",
            quoted(origin),
            quoted(TENANT_ID),
            quoted(CLIENT_ID)
        );
        let header = self.folder.join("identity-header");
        let kinds = [
            format!("[auth]\nkind = \"client-secret\"\n{who}secret_file = {}\n", file("client-secret")),
            format!(
                "[auth]\nkind = \"client-certificate\"\n{who}certificate_file = {}\n",
                file("client-certificate.pem")
            ),
            format!(
                "[auth]\nkind = \"client-certificate\"\n{who}certificate_file = {}\ncertificate_password_file = {}\n",
                file("client-certificate.p12"),
                file("client-certificate.password")
            ),
            format!("[auth]\nkind = \"workload-identity\"\n{who}token_file = {}\n", file("federated-token")),
            format!(
                "A virtual machine. In the agent's environment:\n  AZURE_POD_IDENTITY_AUTHORITY_HOST={origin}\n\
                 [auth]\nkind = \"managed-identity\"\n"
            ),
            format!(
                "App Service or Container Apps. In the agent's environment:\n  IDENTITY_ENDPOINT={origin}/msi/token\n  \
                 IDENTITY_HEADER=\"$(cat {})\"\n[auth]\nkind = \"managed-identity\"\n",
                header.display()
            ),
            format!(
                "Azure Arc. In the agent's environment:\n  \
                 IDENTITY_ENDPOINT={origin}/arc/metadata/identity/oauth2/token\n  IMDS_ENDPOINT={origin}\n\
                 [auth]\nkind = \"managed-identity\"\narc_key_dir = {}\n",
                quoted(&sandbox.arc_key_dir().display().to_string())
            ),
        ];
        let mut text = String::from("# Instead of [auth] above, one of these. They are good while the sandbox runs.\n");
        for kind in kinds {
            text.push_str("#\n");
            for line in kind.lines() {
                text.push_str(&format!("# {line}\n"));
            }
        }
        text
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        for path in &self.written {
            // Whoever removed it already did what is done here.
            let _ = std::fs::remove_file(path);
        }
    }
}
