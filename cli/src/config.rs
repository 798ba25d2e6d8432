//! Where the cloud is, and who the caller is there. All that this command takes from its surroundings is read here.
//! A flag wins over a variable, and a variable over the configuration file.

mod file;
mod oci;

use crate::error::Error;
use clap::Args as Group;
use file::Entry;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variables, as `hako --help` explains them.
pub(crate) const VARIABLES: &str = "\
Environment variables (a flag wins over a variable, a variable over the configuration file):
  HAKO_CONFIG        configuration file; one whose name does not end in .toml is in the form of OCI's
  HAKO_PROFILE       profile of it
  HAKO_ENDPOINT      URL of the cloud
  HAKO_CA            file with the CA of the cloud's certificate
  HAKO_COMPARTMENT   compartment to work in, by name or OCID
  HAKO_TENANCY       OCID of the tenancy
  HAKO_USER          OCID of the user
  HAKO_KEY_FILE      file with the user's private API key, in PEM form
  HAKO_FINGERPRINT   fingerprint of that key
  HAKO_TOKEN         token to send instead of one that is signed with a key
  HAKO_OUTPUT        table, json or yaml
  KUBECONFIG         file that `hako cluster create-kubeconfig` merges into

Configuration files: the one that is named, else ~/.hako/config.toml, else OCI's own: that of OCI_CLI_CONFIG_FILE,
of OCI_CONFIG_FILE, or ~/.oci/config, with the profile of OCI_CLI_PROFILE and the endpoint of OCI_CLI_ENDPOINT.";

/// How to reach the cloud, and as whom.
#[derive(Debug, Clone, Default, Group)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Connection {
    /// Profile of the configuration file [default: DEFAULT]
    #[arg(long, global = true, env = "HAKO_PROFILE")]
    pub(crate) profile: Option<String>,
    /// Configuration file [default: ~/.hako/config.toml, or OCI's]
    #[arg(long, global = true, env = "HAKO_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// URL of the cloud, instead of the profile's
    #[arg(long, global = true, env = "HAKO_ENDPOINT")]
    pub(crate) endpoint: Option<String>,
    /// File with the CA of the cloud's certificate, instead of the profile's
    #[arg(long, global = true, env = "HAKO_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// Compartment to work in, by name or OCID, instead of the profile's
    #[arg(long, global = true, env = "HAKO_COMPARTMENT")]
    pub(crate) compartment: Option<String>,
}

/// An API key of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiKey {
    /// OCID of the user.
    pub(crate) user: String,
    /// File with the private key.
    pub(crate) file: PathBuf,
    /// Name of the key.
    pub(crate) fingerprint: String,
}

/// By what the caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Tokens that are signed with this key.
    Key(ApiKey),
    /// A token that somebody else made.
    Token(String),
    /// What `hako login` left in this file.
    Login(PathBuf),
    /// Nothing yet.
    Nobody,
}

/// Who calls, and where.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Its name.
    pub(crate) name: String,
    /// File it was read from; none: all is from variables.
    pub(crate) file: Option<PathBuf>,
    /// URL of the cloud, without a slash at its end.
    pub(crate) endpoint: String,
    /// File with the CA of its certificate; none: the system's.
    pub(crate) ca: Option<PathBuf>,
    /// OCID of the tenancy.
    pub(crate) tenancy: String,
    /// Compartment to work in: its OCID, or its name until [`crate::iam::compartment::settle`] was called.
    pub(crate) compartment: String,
    pub(crate) identity: Identity,
}

impl Profile {
    /// Reads the profile that the command line and the environment name.
    pub(crate) fn load(connection: &Connection) -> Result<Self, Error> {
        Surroundings::of_process().profile(connection)
    }

    /// What failed requests say of who asked.
    pub(crate) fn whose(&self) -> String {
        match &self.identity {
            Identity::Key(key) => format!("profile {:?} signs with {}", self.name, key.file.display()),
            Identity::Token(_) => "the token is that of HAKO_TOKEN".into(),
            Identity::Login(_) => format!("profile {:?} uses what `hako login` got", self.name),
            Identity::Nobody => format!("profile {:?} has no key", self.name),
        }
    }

    /// The user, as far as it is known.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.identity {
            Identity::Key(key) => Some(&key.user),
            _ => None,
        }
    }
}

/// What a process finds around it.
pub(crate) struct Surroundings {
    variable: fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
}

impl Surroundings {
    /// That of this process.
    pub(crate) fn of_process() -> Self {
        Self { variable: |name| std::env::var_os(name), home: std::env::home_dir() }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
    }

    /// The file to read: the one that is named, or else the first that is there.
    fn file(&self, connection: &Connection) -> Option<PathBuf> {
        if let Some(file) = &connection.config {
            return Some(file.clone());
        }
        let ours = self.home.as_ref().map(|home| home.join(".hako/config.toml")).filter(|file| file.exists());
        let theirs = || self.path("OCI_CLI_CONFIG_FILE").or_else(|| self.path("OCI_CONFIG_FILE"));
        let usual = || self.home.as_ref().map(|home| home.join(".oci/config")).filter(|file| file.exists());
        ours.or_else(theirs).or_else(usual)
    }

    /// The name of the profile and what the file says of it.
    fn entry(&self, connection: &Connection, file: Option<&Path>) -> Result<(String, Entry), Error> {
        let ours = file.is_none_or(file::is_ours);
        let oci_profile = || if ours { None } else { self.text("OCI_CLI_PROFILE") };
        let name = connection.profile.clone().or_else(oci_profile).unwrap_or_else(|| "DEFAULT".into());
        let Some(file) = file else { return Ok((name, Entry::default())) };
        let text = std::fs::read_to_string(file).map_err(|error| {
            let file = file.display();
            Error::Misused(format!(
                "cannot read the configuration {file}: {error}\n  `. .hako/env.sh` after `cargo xtask up` sets HAKO_CONFIG; --config names another file"
            ))
        })?;
        let entry = if ours {
            file::entry(&text, &name, file)?
        } else {
            let mut entry = oci::entry(&text, &name, file, self.home.as_deref())?;
            entry.endpoint = self.text("OCI_CLI_ENDPOINT");
            entry
        };
        Ok((name, entry))
    }

    fn profile(&self, connection: &Connection) -> Result<Profile, Error> {
        let file = self.file(connection);
        let (name, entry) = self.entry(connection, file.as_deref())?;
        let from = match (&connection.endpoint, &entry.endpoint) {
            (Some(_), _) => "HAKO_ENDPOINT or --endpoint",
            _ => "the profile",
        };
        let endpoint = connection.endpoint.clone().or_else(|| entry.endpoint.clone()).ok_or_else(|| {
            let file = file.as_ref().map_or("there is no configuration file".into(), |file| {
                format!("profile {name:?} of {} names no endpoint", file.display())
            });
            Error::Misused(format!(
                "where the cloud is must be said by HAKO_ENDPOINT, --endpoint or a profile: {file}\n  `. .hako/env.sh` after `cargo xtask up` sets HAKO_CONFIG; `hako --help` lists all variables"
            ))
        })?;
        let identity = self.identity(&name, file.as_deref(), &entry)?;
        let tenancy = self.text("HAKO_TENANCY").or(entry.tenancy).unwrap_or_default();
        let compartment = connection.compartment.clone().or(entry.compartment);
        Ok(Profile {
            endpoint: secure(endpoint, from)?,
            ca: connection.ca.clone().or(entry.ca),
            compartment: compartment.unwrap_or_else(|| tenancy.clone()),
            name,
            file,
            tenancy,
            identity,
        })
    }

    fn identity(&self, name: &str, file: Option<&Path>, entry: &Entry) -> Result<Identity, Error> {
        if let Some(token) = self.text("HAKO_TOKEN") {
            return Ok(Identity::Token(token));
        }
        let variables = ["HAKO_USER", "HAKO_KEY_FILE", "HAKO_FINGERPRINT"];
        let is_told = variables.iter().any(|name| self.path(name).is_some());
        let login = login_file(name, file, self.home.as_deref())?;
        // A login is the caller's latest word on a profile, but not on variables.
        if !is_told && login.exists() {
            return Ok(Identity::Login(login));
        }
        let user = self.text("HAKO_USER").or_else(|| entry.user.clone());
        let key = self.path("HAKO_KEY_FILE").or_else(|| entry.key_file.clone());
        let fingerprint = self.text("HAKO_FINGERPRINT").or_else(|| entry.fingerprint.clone());
        match (user, key, fingerprint) {
            (Some(user), Some(file), Some(fingerprint)) => Ok(Identity::Key(ApiKey { user, file, fingerprint })),
            (None, None, None) => Ok(Identity::Nobody),
            (user, key, _) => {
                let missing = match (user, key) {
                    (None, _) => "user (HAKO_USER)",
                    (_, None) => "key_file (HAKO_KEY_FILE)",
                    _ => "fingerprint (HAKO_FINGERPRINT)",
                };
                Err(Error::Misused(format!("profile {name:?} has parts of an API key, but no {missing}")))
            }
        }
    }
}

/// An endpoint that a token may be sent to.
fn secure(endpoint: String, from: &str) -> Result<String, Error> {
    if !endpoint.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        let text = format!("the endpoint must be a URL like https://host:6443, not {endpoint:?}; it is from {from}");
        return Err(Error::Misused(text));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

/// Our directory: where our configuration file is, or would be.
pub(crate) fn directory(file: Option<&Path>, home: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(parent) = file.filter(|file| file::is_ours(file)).and_then(Path::parent) {
        return Ok(parent.to_owned());
    }
    Ok(home.ok_or_else(|| Error::Misused("HOME is not set".into()))?.join(".hako"))
}

/// Where the login of a profile is kept.
pub(crate) fn login_file(profile: &str, file: Option<&Path>, home: Option<&Path>) -> Result<PathBuf, Error> {
    if profile.is_empty() || profile.contains('/') || profile.starts_with('.') {
        return Err(Error::Misused(format!("{profile:?} is no name of a profile")));
    }
    Ok(directory(file, home)?.join("logins").join(format!("{profile}.json")))
}

/// Our configuration file to write to, and the profile's name, whether or not either is there.
pub(crate) fn place(connection: &Connection) -> Result<(PathBuf, String), Error> {
    let name = connection.profile.clone().unwrap_or_else(|| "DEFAULT".into());
    let file = match connection.config.clone().filter(|file| file::is_ours(file)) {
        Some(file) => file,
        None => home()?.join(".hako/config.toml"),
    };
    Ok((file, name))
}

pub(crate) use file::{Entry as ProfileEntry, add as add_profile, read as read_profile, write_private};

/// OCID of the tenancy, if a variable says it.
pub(crate) fn tenancy_variable() -> Option<String> {
    Surroundings::of_process().text("HAKO_TENANCY")
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
mod tests;
