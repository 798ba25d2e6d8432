//! The configuration file of OCI's SDKs and command.
//! Source: OCI's documentation, "SDK and CLI Configuration File": INI; `DEFAULT` holds for what a profile leaves out.

use super::file::Entry;
use crate::error::Error;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Entries that would need what we don't do, and what to do instead.
const REFUSED: [(&str, &str); 2] = [
    ("pass_phrase", "keys with a pass phrase are not taken: `openssl pkey -in KEY -out NEW` takes it off"),
    ("security_token_file", "sessions of OCI's are not taken: use an API key, or `hako login`"),
];

/// The profile of that name in a file's text.
pub(super) fn entry(text: &str, name: &str, file: &Path, home: Option<&Path>) -> Result<Entry, Error> {
    let sections = sections(text);
    let Some(own) = sections.get(name) else {
        let names = sections.keys().copied().collect::<Vec<_>>().join(", ");
        return Err(Error::Misused(format!("there is no profile {name:?} in {}; it has: {names}", file.display())));
    };
    let get = |key: &str| own.get(key).or_else(|| sections.get("DEFAULT")?.get(key)).map(|value| (*value).to_owned());
    if let Some((key, why)) = REFUSED.iter().find(|(key, _)| get(key).is_some()) {
        return Err(Error::Misused(format!("{}: profile {name:?} has {key}: {why}", file.display())));
    }
    Ok(Entry {
        tenancy: get("tenancy"),
        user: get("user"),
        key_file: get("key_file").map(|path| expanded(&path, home)),
        fingerprint: get("fingerprint"),
        ..Entry::default()
    })
}

fn sections(text: &str) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut all: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut at = "DEFAULT";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            at = name.trim();
            all.entry(at).or_default();
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) {
            all.entry(at).or_default().insert(key.trim(), value.trim());
        }
    }
    all
}

fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}
