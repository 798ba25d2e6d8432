//! What a person's shell needs: `.hako/env.sh`, and the directory with the commands.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context;

use crate::clients;
use crate::oci;
use crate::pki;
use crate::registry;
use crate::services::Site;

/// Links `hako`, `kubectl`, `helm` and, if it was fetched, `oci` into the state directory's `bin`.
pub(crate) fn link_commands(site: Site<'_>) -> anyhow::Result<()> {
    let bin = site.layout.bin();
    let link = |target: &Path, name: &str| -> anyhow::Result<()> {
        let path = bin.join(name);
        let _ = std::fs::remove_file(&path);
        symlink(target, &path).with_context(|| format!("can't make {}", path.display()))
    };
    link(&site.options.binaries.join("hako"), "hako")?;
    for minor in clients::VERSIONS {
        let directory = clients::directory(&site.options.cache, *minor);
        link(&directory.join("kubectl"), &format!("kubectl-1.{minor}"))?;
        // The last version wins.
        link(&directory.join("kubectl"), "kubectl")?;
        link(&directory.join("helm"), "helm")?;
    }
    let oci = clients::OCI.directory(&site.options.cache).join("bin/oci");
    if oci.exists() {
        link(&oci, "oci")?;
    }
    Ok(())
}

/// The variables of `env.sh`, with `PATH` extended from the current one.
pub(crate) fn variables(site: Site<'_>) -> BTreeMap<String, String> {
    let state = &site.layout.state;
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let shown = |path: &Path| path.display().to_string();
    let mut variables = BTreeMap::from([
        ("PATH".into(), format!("{}:{path}", shown(&site.layout.bin()))),
        ("KUBECONFIG".into(), shown(&state.join("kubeconfig"))),
        ("HAKO_CONFIG".into(), shown(&state.join("config.toml"))),
        ("HAKO_PROFILE".into(), "DEFAULT".into()),
        ("HAKO_ENDPOINT".into(), site.endpoint()),
        ("HAKO_CA".into(), shown(&pki::files(site.layout, pki::PUBLIC_CA).certificate)),
        ("HAKO_REGISTRY".into(), registry::address(site.fabric).to_string()),
    ]);
    variables.extend(oci::variables(site));
    variables
}

/// Writes `env.sh`, and what its variables name.
pub(crate) fn write(site: Site<'_>) -> anyhow::Result<()> {
    oci::write_bundle(site.layout)?;
    let mut text = String::from("# Written by `cargo xtask up`; use it with `. .hako/env.sh`.\n");
    for (name, value) in variables(site) {
        if name == "PATH" {
            let bin = quoted(&site.layout.bin().display().to_string());
            text += &format!("case \":$PATH:\" in *:{bin}:*) ;; *) export PATH={bin}:\"$PATH\" ;; esac\n");
        } else {
            text += &format!("export {name}={}\n", quoted(&value));
        }
    }
    std::fs::write(site.layout.state.join("env.sh"), text)?;
    Ok(())
}

/// A word that the shell reads back as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(quoted("/work/.hako"), "/work/.hako");
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
    }
}
