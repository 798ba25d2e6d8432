//! Tenancies: an administrator's keys each, registered through `hako-control bootstrap`, and the profiles of our command
//! and of OCI's clients.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use toml::{Table, Value};

use crate::command::output;
use crate::layout::Layout;
use crate::oci;
use crate::pki;
use crate::services::Site;

/// The first tenancy and its profile.
pub(crate) const DEFAULT_TENANCY: &str = "demo";
/// Its profile in the CLI's configuration.
pub(crate) const DEFAULT_PROFILE: &str = "DEFAULT";
const ADMINISTRATOR: &str = "admin";

/// A tenancy that the cloud knows, with its administrator's key.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Name of the CLI profile (`HAKO_PROFILE`).
    pub profile: String,
    /// OCID of the tenancy; also of its root compartment.
    pub tenancy_id: String,
    /// OCID of the administrator.
    pub user_id: String,
    /// Fingerprint of the administrator's key: `kid` of its tokens.
    pub fingerprint: String,
    /// The administrator's ES256 private key, PKCS #8 PEM.
    pub key_file: PathBuf,
    /// Fingerprint of the administrator's RSA key, in OCI's form.
    pub oci_fingerprint: String,
    /// The administrator's RSA private key, with which OCI's clients sign requests.
    pub oci_key_file: PathBuf,
}

/// What `hako-control bootstrap` prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    tenancy_id: String,
    user_id: String,
    compartment_id: String,
    fingerprint: String,
    keys: Vec<Key>,
}

/// One key in that answer, in the order of the arguments.
#[derive(Debug, Deserialize)]
struct Key {
    fingerprint: String,
}

/// Makes the tenancy unless it is there, and writes its profiles.
pub(crate) fn tenant(site: Site<'_>, tenancy: &str, profile: &str) -> anyhow::Result<Tenant> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    ensure!(!tenancy.is_empty() && tenancy.chars().all(plain), "{tenancy:?} is no name for a tenancy");
    let key_file = site.layout.state.join(format!("profiles/{tenancy}.pem"));
    pki::signing_key(&key_file)?;
    let oci_key_file = site.layout.state.join(format!("oci/{tenancy}.pem"));
    pki::api_key(&oci_key_file)?;
    let mut command = Command::new(site.options.binaries.join("hako-control"));
    command.arg("bootstrap").arg("--config").arg(site.layout.config("control"));
    command.args(["--tenancy", tenancy, "--user", ADMINISTRATOR]);
    for key in [&key_file, &oci_key_file] {
        command.arg("--public-key").arg(key.with_extension("pub"));
    }
    let printed = output(command).context("can't make the tenancy")?;
    let answer: Answer = serde_json::from_str(&printed).context("hako-control bootstrap printed no valid answer")?;
    let oci_fingerprint =
        answer.keys.get(1).map(|key| key.fingerprint.clone()).context("hako-control registered no RSA key")?;
    let mut entry = Table::new();
    let ca = pki::files(site.layout, pki::PUBLIC_CA).certificate;
    for (key, value) in [
        ("endpoint", site.endpoint()),
        ("ca", ca.display().to_string()),
        ("tenancy", answer.tenancy_id.clone()),
        ("user", answer.user_id.clone()),
        ("key_file", key_file.display().to_string()),
        ("fingerprint", answer.fingerprint.clone()),
        ("compartment", answer.compartment_id),
    ] {
        entry.insert(key.into(), Value::String(value));
    }
    write_profile(site.layout, profile, entry)?;
    let tenant = Tenant {
        profile: profile.to_owned(),
        tenancy_id: answer.tenancy_id,
        user_id: answer.user_id,
        fingerprint: answer.fingerprint,
        key_file,
        oci_fingerprint,
        oci_key_file,
    };
    oci::write_profile(site, &tenant)?;
    Ok(tenant)
}

/// Sets one profile in the CLI's configuration; the others stay.
fn write_profile(layout: &Layout, profile: &str, entry: Table) -> anyhow::Result<()> {
    let path = layout.state.join("config.toml");
    let mut file: Table = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?,
        Err(_) => Table::new(),
    };
    file.insert(profile.to_owned(), Value::Table(entry));
    Layout::write_secret(&path, toml::to_string(&file)?.as_bytes())
}
