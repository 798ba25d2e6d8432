//! What the unmodified clients of OCI need to use this cloud: their configuration file, whom they believe, and the region.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use crate::bootstrap::Tenant;
use crate::layout::{Layout, REGION};
use crate::pki;
use crate::services::Site;

/// Those whom the system believes. Source: Debian's package ca-certificates.
const SYSTEM_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What the SDKs must know of a region that they don't have in their tables. `invalid` is nobody's (RFC 6761): a request
/// that was not told our endpoint goes nowhere, and never to Oracle.
const REGION_METADATA: &str =
    r#"{"realmKey":"hako","realmDomainComponent":"hako.invalid","regionKey":"LCL","regionIdentifier":"local-1"}"#;

/// Sets one profile in the configuration file of OCI's clients; the others stay.
pub(crate) fn write_profile(site: Site<'_>, tenant: &Tenant) -> anyhow::Result<()> {
    let path = site.layout.state.join("oci/config");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let entries = [
        ("user", tenant.user_id.clone()),
        ("fingerprint", tenant.oci_fingerprint.clone()),
        ("tenancy", tenant.tenancy_id.clone()),
        ("region", REGION.to_owned()),
        ("key_file", tenant.oci_key_file.display().to_string()),
    ];
    Layout::write_secret(&path, with_section(&old, &tenant.profile, &entries).as_bytes())
}

/// Writes the certificates that OCI's clients believe: the system's and ours, for the variable counts for all programs
/// in Python.
pub(crate) fn write_bundle(layout: &Layout) -> anyhow::Result<()> {
    let ours = pki::files(layout, pki::PUBLIC_CA).certificate;
    let ours = std::fs::read_to_string(&ours).with_context(|| format!("can't read {}", ours.display()))?;
    let system = std::fs::read_to_string(SYSTEM_CAS).unwrap_or_default();
    std::fs::write(bundle(layout), format!("{}\n{ours}", system.trim_end()))?;
    Ok(())
}

fn bundle(layout: &Layout) -> std::path::PathBuf {
    layout.state.join("oci/ca-bundle.pem")
}

/// The variables that make OCI's clients use this cloud.
pub(crate) fn variables(site: Site<'_>) -> BTreeMap<String, String> {
    let shown = |path: &Path| path.display().to_string();
    let config = shown(&site.layout.state.join("oci/config"));
    BTreeMap::from([
        ("OCI_CONFIG_FILE".into(), config.clone()),
        ("OCI_CLI_CONFIG_FILE".into(), config),
        ("OCI_CLI_ENDPOINT".into(), site.endpoint()),
        ("OCI_REGION_METADATA".into(), REGION_METADATA.into()),
        ("REQUESTS_CA_BUNDLE".into(), shown(&bundle(site.layout))),
    ])
}

/// The text of an INI file with one section set anew.
fn with_section(old: &str, name: &str, entries: &[(&str, String)]) -> String {
    let header = format!("[{name}]");
    let mut inside = false;
    let mut text = String::new();
    for line in old.lines() {
        if line.starts_with('[') {
            inside = line.trim() == header;
        }
        if !inside && !line.is_empty() {
            text += line;
            text.push('\n');
        }
    }
    text += &header;
    text.push('\n');
    for (key, value) in entries {
        text += &format!("{key}={value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_set_and_the_others_stay() {
        let old = "[DEFAULT]\nuser=a\nregion=b\n\n[other]\nuser=c\n";
        let new = with_section(old, "DEFAULT", &[("user", "d".into())]);
        assert_eq!(new, "[other]\nuser=c\n[DEFAULT]\nuser=d\n");
        assert_eq!(with_section(&new, "DEFAULT", &[("user", "d".into())]), new);
        assert_eq!(with_section("", "x", &[]), "[x]\n");
    }

    #[test]
    fn the_region_is_the_one_that_is_told() {
        assert!(REGION_METADATA.contains(&format!("\"{REGION}\"")));
    }
}
