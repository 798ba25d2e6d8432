//! `up` and `down`.

use std::path::PathBuf;

use localcloud::{Cloud, Options};

use crate::cargo;
use crate::config;

/// Arguments of `up`.
#[derive(clap::Args)]
pub(crate) struct Up {
    /// Directory that keeps everything.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Number of hosts.
    #[arg(long, default_value_t = 2)]
    hosts: u8,
    /// Builds and runs the release profile.
    #[arg(long)]
    release: bool,
    /// Runs the programs that are there.
    #[arg(long)]
    no_build: bool,
}

/// Arguments of `down`.
#[derive(clap::Args)]
pub(crate) struct Down {
    /// Directory that keeps everything.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Forgets all state as well: clusters, images, usage, keys.
    #[arg(long)]
    purge: bool,
}

/// Builds and starts the cloud, then says what to try.
pub(crate) fn up(arguments: &Up) -> anyhow::Result<()> {
    let mut options = options(arguments.state.clone());
    options.hosts = arguments.hosts;
    if arguments.release {
        options = options.release();
    }
    localcloud::packages::install(&|text| eprintln!("hako: {text}"))?;
    localcloud::packages::check_capabilities()?;
    if !arguments.no_build {
        cargo::build(arguments.release)?;
    }
    let shown = options.state.strip_prefix(config::workspace()).unwrap_or(&options.state).to_owned();
    let cloud = Cloud::up(options)?;
    let env = cloud.env();
    let endpoint = env.get("HAKO_ENDPOINT").map(String::as_str).unwrap_or_default();
    println!(
        "The cloud runs; its API is at {endpoint}. Try:\n\n  \
         . {}/env.sh\n  \
         hako cluster create demo --type ENHANCED_CLUSTER --wait\n  \
         hako virtual-node-pool create --cluster demo --name pool --size 3 --wait\n  \
         hako cluster create-kubeconfig demo\n  \
         kubectl create deployment web --image=$HAKO_REGISTRY/demo/web:1 --replicas=3\n  \
         kubectl get pods -o wide\n  \
         hako usage list --cluster demo\n\nLogs: {}/logs. Stop it with: cargo xtask down",
        shown.display(),
        shown.display(),
    );
    Ok(())
}

/// Stops the cloud.
pub(crate) fn down(arguments: &Down) -> anyhow::Result<()> {
    let options = options(arguments.state.clone());
    if !options.state.exists() {
        println!("there is no cloud in {}", options.state.display());
        return Ok(());
    }
    let cloud = Cloud::attach(options)?;
    if arguments.purge {
        cloud.purge()?;
        println!("The cloud is stopped and forgotten.");
    } else {
        cloud.down()?;
        println!("The cloud is stopped; `cargo xtask up` brings it back as it was.");
    }
    Ok(())
}

fn options(state: Option<PathBuf>) -> Options {
    Options::new(state.unwrap_or_else(|| config::workspace().join(".hako")))
}
