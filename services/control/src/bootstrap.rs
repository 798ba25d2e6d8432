//! `hako-control bootstrap`: makes a tenancy with an administrator and its API keys, straight in the database, because
//! nobody can authenticate before the first key is there. Safe to repeat.

use crate::{Config, subcommand};
use anyhow::Context;
use clap::Parser;
use domain::{Clock, SystemClock};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Makes a tenancy with an administrator and its API keys. What exists already stays and is printed.
#[derive(Debug, Parser)]
#[command(name = "hako-control bootstrap")]
struct Arguments {
    /// Control's configuration file: names the database.
    #[arg(long)]
    config: PathBuf,
    /// Name of the tenancy.
    #[arg(long)]
    tenancy: String,
    /// Name of its administrator.
    #[arg(long, default_value = "admin")]
    user: String,
    /// The administrator's public key: PEM, EC P-256, Ed25519 or RSA. May be given more than once.
    #[arg(long, required = true)]
    public_key: Vec<PathBuf>,
    /// Form of what is printed.
    #[arg(long, default_value = "json", value_parser = ["json"])]
    output: String,
}

impl subcommand::Arguments for Arguments {
    fn config(&self) -> &Path {
        &self.config
    }
}

/// Runs the subcommand.
pub fn main() -> ExitCode {
    subcommand::run(bootstrap)
}

async fn bootstrap(config: Config, arguments: Arguments) -> anyhow::Result<String> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()));
    let keys = arguments.public_key.iter().map(read).collect::<anyhow::Result<Vec<String>>>()?;
    let db = postgres::connect_control(&config.database_url, 2).await.context("can't reach the database")?;
    postgres::migrate_control(&db).await.context("can't migrate the database")?;
    let now = SystemClock.now().as_millisecond();
    let made = cloud::identity::bootstrap(&db, &arguments.tenancy, &arguments.user, &keys, now).await?;
    Ok(serde_json::to_string_pretty(&made)?)
}
