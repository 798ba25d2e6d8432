//! API keys of users.

use super::{
    key::{self, KeyKind},
    user,
};
use crate::{
    args::Care,
    client::{self, Client},
    config::{self, ProfileEntry},
    error::Error,
    output::{Column, Output},
    request, resource,
};
use clap::{Args as Group, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const COLUMNS: &[Column] = &[
    Column("FINGERPRINT", "/fingerprint"),
    Column("STATE", "/lifecycleState"),
    Column("CREATED", "/timeCreated"),
    Column("USER", "/userId"),
];

/// Whose keys.
#[derive(Debug, Group)]
pub(crate) struct Whose {
    /// The user [default: the caller]
    #[arg(long, value_name = "NAME|OCID")]
    user: Option<String>,
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyVerb {
    /// Make a key pair, keep the private half in a file, and register the public one
    Generate {
        #[command(flatten)]
        whose: Whose,
        /// New file for the private key [default: keys/USER.pem beside the configuration file]
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Kind of the key
        #[arg(long, value_enum, default_value_t = KeyKind::Rsa)]
        algorithm: KeyKind,
        /// Name of a profile to add to the configuration file, with this key
        #[arg(long, value_name = "NAME")]
        add_profile: Option<String>,
    },
    /// Register the public half of a key
    Upload {
        #[command(flatten)]
        whose: Whose,
        /// File with the public key, in PEM form (`-`: standard input)
        #[arg(long, value_name = "FILE")]
        public_key_file: PathBuf,
    },
    /// List keys
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Delete a key
    Delete {
        /// Fingerprint of the key
        fingerprint: String,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        care: Care,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: ApiKeyVerb) -> Result<(), Error> {
    match verb {
        ApiKeyVerb::Generate { whose, key_file, algorithm, add_profile } => {
            let name = whose.user.clone().filter(|user| !user.starts_with("ocid1."));
            let user = whose.find(client).await?;
            let key_file = match key_file {
                Some(file) => file,
                None => usual_file(client, name.as_deref())?,
            };
            let key = generate(client, &user, algorithm, &key_file).await?;
            eprintln!("hako: the private key is in {}", key_file.display());
            if let Some(profile) = add_profile {
                add(client, &profile, &key, &key_file)?;
            }
            out.one(&key, COLUMNS)
        }
        ApiKeyVerb::Upload { whose, public_key_file } => {
            let path = path(&whose.find(client).await?);
            out.one(&upload(client, &path, &request::read(&public_key_file)?).await?, COLUMNS)
        }
        ApiKeyVerb::List { whose } => out.list(&client.list(&path(&whose.find(client).await?), &[]).await?, COLUMNS),
        ApiKeyVerb::Delete { fingerprint, whose, care } => {
            let fingerprint = client::segment("key", &fingerprint)?;
            let user = whose.find(client).await?;
            if care.dry_run {
                eprintln!("hako: nothing is deleted (--dry-run); without it {user} loses the key {fingerprint}");
                return Ok(());
            }
            resource::confirm(care, &format!("delete the key {fingerprint} of {user}?"))?;
            client.change(&Method::DELETE, &format!("{}/{fingerprint}", path(&user)), None).await?;
            eprintln!("hako: key {fingerprint} is deleted");
            Ok(())
        }
    }
}

impl Whose {
    async fn find(&self, client: &Client) -> Result<String, Error> {
        match &self.user {
            Some(user) => user::KIND.find(client, user).await,
            None => client.profile.user().map(str::to_owned).ok_or_else(|| {
                Error::Misused("--user must be given: a login does not say which user of the tenancy it is".into())
            }),
        }
    }
}

fn path(user: &str) -> String {
    format!("{}/apiKeys", user::KIND.path_of(user))
}

async fn upload(client: &Client, path: &str, public: &str) -> Result<Value, Error> {
    let answer = client.change(&Method::POST, path, Some(&json!({"key": public}))).await?;
    answer.body.ok_or_else(|| Error::Failed("the service did not answer the key".into()))
}

/// Makes a key; its private half is on disk before the public one is registered, so that no key is ever lost.
async fn generate(client: &Client, user: &str, kind: KeyKind, file: &Path) -> Result<Value, Error> {
    let pair = key::generate(kind)?;
    config::write_private(file, &pair.private)?;
    let uploaded = upload(client, &path(user), &pair.public).await;
    if uploaded.is_err() {
        // Of no use to anybody.
        let _ = std::fs::remove_file(file);
    }
    uploaded
}

/// Where a new key is put if nobody says.
fn usual_file(client: &Client, user: Option<&str>) -> Result<PathBuf, Error> {
    let directory = config::directory(client.profile.file.as_deref(), Some(&config::home()?))?;
    let name: String = user.unwrap_or(&client.profile.name).chars().map(plain).collect();
    Ok(directory.join("keys").join(format!("{name}.pem")))
}

/// A character that a file's name can have.
fn plain(character: char) -> char {
    if character.is_ascii_alphanumeric() || "-_@+".contains(character) { character } else { '_' }
}

/// Adds a profile with a new key that is otherwise like the caller's.
fn add(client: &Client, name: &str, key: &Value, key_file: &Path) -> Result<(), Error> {
    let profile = &client.profile;
    let directory = config::directory(profile.file.as_deref(), Some(&config::home()?))?;
    let usual = directory.join("config.toml");
    let file = profile.file.clone().filter(|file| file.extension().is_some_and(|end| end == "toml")).unwrap_or(usual);
    let text = |field: &str| key[field].as_str().map(str::to_owned);
    let entry = ProfileEntry {
        endpoint: Some(profile.endpoint.clone()),
        ca: profile.ca.as_ref().map(std::path::absolute).transpose().map_err(Error::io("find the CA"))?,
        tenancy: Some(profile.tenancy.clone()),
        compartment: Some(profile.compartment.clone()).filter(|compartment| *compartment != profile.tenancy),
        user: text("userId"),
        key_file: Some(std::path::absolute(key_file).map_err(Error::io("find the key"))?),
        fingerprint: text("fingerprint"),
        ..ProfileEntry::default()
    };
    config::add_profile(&file, name, &entry)?;
    eprintln!("hako: profile {name:?} is in {}", file.display());
    Ok(())
}
