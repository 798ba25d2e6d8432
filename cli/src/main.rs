//! `hako`: the command of tenants. It speaks the cloud API that SDKs speak, and nothing else.

mod args;
mod client;
mod cluster;
mod config;
mod error;
mod kubeconfig;
mod output;
mod token;
mod usage;
mod virtual_node_pool;
mod work_request;

use crate::{
    args::{Args, Noun, PodShapeVerb},
    client::Client,
    config::Profile,
    error::Error,
    output::{Column, Output},
};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no misuse.
            let code = if error.use_stderr() { error::MISUSED } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hako: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Args) -> Result<(), Error> {
    let profile = Profile::load(&args.connection)?;
    let out = Output(args.output);
    // Signing needs no runtime and no network: kubectl calls it before each command.
    if let Noun::Cluster(args::ClusterVerb::GenerateToken { cluster_id }) = &args.noun {
        return token::print_credential(&profile, cluster_id);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start"))?;
    runtime.block_on(async {
        let client = Client::new(profile)?;
        match args.noun {
            Noun::Cluster(verb) => cluster::run(&client, out, verb).await,
            Noun::VirtualNodePool(verb) => virtual_node_pool::run(&client, out, verb).await,
            Noun::VirtualNode(verb) => virtual_node_pool::run_nodes(&client, out, verb).await,
            Noun::WorkRequest(verb) => work_request::run(&client, out, verb).await,
            Noun::PodShape(PodShapeVerb::List) => pod_shapes(&client, out).await,
            Noun::Usage(verb) => usage::run(&client, out, verb).await,
        }
    })
}

const SHAPE: &[Column] = &[
    Column("NAME", "/name"),
    Column("PROCESSOR", "/processorDescription"),
    Column("MIN OCPU", "/ocpuOptions/0/min"),
    Column("MAX OCPU", "/ocpuOptions/0/max"),
    Column("MAX GB", "/memoryOptions/0/maxInGBs"),
];

async fn pod_shapes(client: &Client, out: Output) -> Result<(), Error> {
    let shapes = client.list("/20180222/podShapes", &[("compartmentId", client.compartment())]).await?;
    out.list(&shapes, SHAPE)
}
