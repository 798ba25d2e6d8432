//! Benchmarks: a whole local cloud, driven from outside as tenants drive it, against the reference figures of
//! section 5 of the design document. Prints figures; asserts nothing about time.

mod client;
mod load;
mod process;
mod report;
mod rig;
mod stats;
mod token;

mod clusters;
mod create;
mod get;
mod list;
mod memory;
mod pod;
mod start;
mod watch;
mod write;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use report::Report;
use rig::Rig;
use std::{path::PathBuf, process::ExitCode};

/// Runs benchmarks against a cloud of their own.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Which ones; all of them if none is named.
    #[arg(value_enum)]
    names: Vec<Benchmark>,
    /// State directory of the cloud. Default: a new one below /tmp.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Directory with the programs to measure. Default: the release profile's.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Does a tenth of the work: shows that a benchmark works, its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Leaves the cloud running, for a closer look. `cargo xtask down --purge --state DIR` ends it.
    #[arg(long)]
    keep: bool,
}

/// The benchmarks, in the order in which all of them run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// Start of control to serving.
    Start,
    /// Cluster create to first list of namespaces, and clusters per second.
    Create,
    /// The cloud API: a cluster to ACTIVE, and lists of clusters.
    Clusters,
    /// Memory of control per cluster.
    Memory,
    /// ConfigMap creates per second.
    Write,
    /// Reads of one pod.
    Get,
    /// Lists of 5,000 pods.
    List,
    /// Write to delivery at 100 watchers.
    Watch,
    /// Pod create to Ready.
    Pod,
}

impl Benchmark {
    async fn run(self, rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Start => start::run(rig, report).await,
            Self::Create => create::run(rig, report).await,
            Self::Clusters => clusters::run(rig, report).await,
            Self::Memory => memory::run(rig, report).await,
            Self::Write => write::run(rig, report).await,
            Self::Get => get::run(rig, report).await,
            Self::List => list::run(rig, report).await,
            Self::Watch => watch::run(rig, report).await,
            Self::Pod => pod::run(rig, report).await,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let rig =
        Rig::up(arguments.state, arguments.binaries, arguments.quick).await.context("the cloud does not start")?;
    let names = if arguments.names.is_empty() { Benchmark::value_variants().to_vec() } else { arguments.names.clone() };
    let mut report = Report::default();
    let mut failed = Vec::new();
    for name in names {
        let shown = name.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        report.begin(&shown);
        // One that fails must not hide the others' figures.
        if let Err(error) = name.run(&rig, &mut report).await {
            eprintln!("bench: {shown} failed: {error:#}");
            failed.push(shown);
        }
    }
    report.table();
    if arguments.keep {
        eprintln!("bench: the cloud in {} goes on", rig.state().display());
    } else {
        rig.purge().await?;
    }
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
