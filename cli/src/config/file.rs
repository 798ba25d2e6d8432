//! Our own configuration file: TOML, one table for each profile.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What a configuration file says of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenancy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compartment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
    /// URL of the identity provider of `hako login`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// By what that provider knows this command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
}

/// True if a file of this name is in our form.
pub(super) fn is_ours(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "toml")
}

/// The profile of that name in a file's text.
pub(super) fn entry(text: &str, name: &str, file: &Path) -> Result<Entry, Error> {
    let mut all = parse(text, file)?;
    let names = all.keys().cloned().collect::<Vec<_>>().join(", ");
    all.remove(name)
        .ok_or_else(|| Error::Misused(format!("there is no profile {name:?} in {}; it has: {names}", file.display())))
}

fn parse(text: &str, file: &Path) -> Result<BTreeMap<String, Entry>, Error> {
    toml::from_str(text).map_err(|error| Error::Misused(format!("{}: {error}", file.display())))
}

/// The profile of that name, if there are such a file and such a profile.
pub(crate) fn read(file: &Path, name: &str) -> Result<Option<Entry>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(parse(&text, file)?.remove(name)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("read {}", file.display()))(error)),
    }
}

/// Adds a profile to a file; what is in it stays as it is, comments too.
pub(crate) fn add(file: &Path, name: &str, entry: &Entry) -> Result<(), Error> {
    if read(file, name)?.is_some() {
        return Err(Error::Misused(format!("{} has a profile {name:?} already", file.display())));
    }
    let failed = |error: std::io::Error| Error::io(format!("write {}", file.display()))(error);
    let section = toml::to_string(&BTreeMap::from([(name, entry)])).map_err(Error::io("write a profile"))?;
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let gap = if old.is_empty() {
        ""
    } else if old.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let mut out = OpenOptions::new().append(true).create(true).mode(0o600).open(file).map_err(failed)?;
    out.write_all(format!("{gap}{section}").as_bytes()).map_err(failed)
}

/// Writes a new file that only its owner may read; refuses to replace one.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(format!("write {}", file.display()))(error);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    out.write_all(text.as_bytes()).map_err(failed)
}
