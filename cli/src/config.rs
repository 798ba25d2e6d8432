//! Profiles: where the cloud is, and who the caller is there.

use crate::{args::Connection, error::Error};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One profile of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    endpoint: String,
    ca: Option<PathBuf>,
    tenancy: String,
    user: String,
    key_file: PathBuf,
    fingerprint: String,
    compartment: Option<String>,
}

/// Who calls, and where.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Its name.
    pub(crate) name: String,
    /// File it was read from.
    pub(crate) file: PathBuf,
    /// URL of the cloud, without a slash at its end.
    pub(crate) endpoint: String,
    /// File with the CA of its certificate; none: the system's.
    pub(crate) ca: Option<PathBuf>,
    /// OCID of the user.
    pub(crate) user: String,
    /// File with the user's private key.
    pub(crate) key_file: PathBuf,
    /// Name of the key.
    pub(crate) fingerprint: String,
    /// OCID of the compartment to work in.
    pub(crate) compartment: String,
}

impl Profile {
    /// Reads the profile that the command line and the environment name.
    pub(crate) fn load(connection: &Connection) -> Result<Self, Error> {
        let file = match &connection.config {
            Some(file) => file.clone(),
            None => default_file()?,
        };
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let file = file.display();
            Error::Misused(format!(
                "cannot read the configuration {file}: {error}\n  `. .hako/env.sh` after `cargo xtask up` sets HAKO_CONFIG; --config names another file"
            ))
        })?;
        Self::parse(connection, &file, &text)
    }

    fn parse(connection: &Connection, file: &Path, text: &str) -> Result<Self, Error> {
        let name = &connection.profile;
        let mut all: BTreeMap<String, Entry> =
            toml::from_str(text).map_err(|error| Error::Misused(format!("{}: {error}", file.display())))?;
        let names = all.keys().cloned().collect::<Vec<_>>().join(", ");
        let entry = all.remove(name).ok_or_else(|| {
            Error::Misused(format!("there is no profile {name:?} in {}; it has: {names}", file.display()))
        })?;
        let endpoint = connection.endpoint.clone().unwrap_or(entry.endpoint);
        // Tokens go over this connection.
        if !endpoint.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            let from = if connection.endpoint.is_some() { "HAKO_ENDPOINT or --endpoint" } else { "the profile" };
            let text =
                format!("the endpoint must be a URL like https://host:6443, not {endpoint:?}; it is from {from}");
            return Err(Error::Misused(text));
        }
        Ok(Self {
            name: name.clone(),
            file: file.to_owned(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            ca: connection.ca.clone().or(entry.ca),
            compartment: connection.compartment.clone().or(entry.compartment).unwrap_or(entry.tenancy),
            user: entry.user,
            key_file: entry.key_file,
            fingerprint: entry.fingerprint,
        })
    }
}

fn default_file() -> Result<PathBuf, Error> {
    Ok(home()?.join(".hako/config.toml"))
}

/// The caller's home directory.
pub(crate) fn home() -> Result<PathBuf, Error> {
    std::env::home_dir().ok_or_else(|| Error::Misused("HOME is not set".into()))
}

/// The first file of `KUBECONFIG`, if it names one.
pub(crate) fn first_kubeconfig() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("KUBECONFIG")?).find(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[DEFAULT]\nendpoint='https://a/'\ntenancy='t'\nuser='u'\nkey_file='k'\nfingerprint='f'\n";

    #[test]
    fn the_command_line_wins_over_the_file() {
        let mut connection = Connection { profile: "DEFAULT".into(), ..Connection::default() };
        let profile = Profile::parse(&connection, Path::new("c"), TEXT).unwrap();
        assert_eq!((profile.endpoint.as_str(), profile.compartment.as_str()), ("https://a", "t"));
        connection.endpoint = Some("https://b".into());
        connection.compartment = Some("c".into());
        let profile = Profile::parse(&connection, Path::new("c"), TEXT).unwrap();
        assert_eq!((profile.endpoint.as_str(), profile.compartment.as_str()), ("https://b", "c"));
    }

    #[test]
    fn endpoints_that_would_tell_a_token_to_anybody_are_refused() {
        for bad in ["http://a", "a:6443", "https://", "https:///x", ""] {
            let endpoint = Some(bad.to_owned());
            let connection = Connection { profile: "DEFAULT".into(), endpoint, ..Connection::default() };
            let error = Profile::parse(&connection, Path::new("c"), TEXT).unwrap_err();
            assert_eq!(error.exit_code(), 64, "{bad}");
            assert!(error.to_string().contains("HAKO_ENDPOINT"), "{error}");
        }
    }

    #[test]
    fn a_missing_profile_names_those_there_are() {
        let connection = Connection { profile: "other".into(), ..Connection::default() };
        let error = Profile::parse(&connection, Path::new("c"), TEXT).unwrap_err();
        assert_eq!(error.to_string(), "there is no profile \"other\" in c; it has: DEFAULT");
        assert_eq!(error.exit_code(), 64);
    }
}
