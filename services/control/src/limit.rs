//! `hako-control limit`: says how much a tenancy may have of something, straight in the database: service limits are the
//! operator's, not the tenants'.

use crate::{Config, subcommand};
use anyhow::Context;
use clap::Parser;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Says how much a tenancy may have of something. Holds from the next request on.
#[derive(Debug, Parser)]
#[command(name = "hako-control limit")]
struct Arguments {
    /// Control's configuration file: names the database.
    #[arg(long)]
    config: PathBuf,
    /// The tenancy's name or OCID.
    #[arg(long)]
    tenancy: String,
    /// The limit, as `hako limit list` names it: `cluster-count` for example.
    #[arg(long)]
    name: String,
    /// The most that there may be.
    #[arg(long)]
    value: u32,
}

impl subcommand::Arguments for Arguments {
    fn config(&self) -> &Path {
        &self.config
    }
}

/// Runs the subcommand.
pub fn main() -> ExitCode {
    subcommand::run(set)
}

async fn set(config: Config, arguments: Arguments) -> anyhow::Result<String> {
    let Arguments { tenancy, name, value, .. } = arguments;
    let db = postgres::connect_control(&config.database_url, 2).await.context("can't reach the database")?;
    cloud::set_limit(&db, &tenancy, &name, value).await?;
    Ok(format!("tenancy {tenancy}: {name} is {value}"))
}
