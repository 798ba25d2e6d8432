//! `hako`: the command of tenants. It speaks the cloud API that SDKs speak, and nothing else.

mod api;
mod args;
mod audit_event;
mod client;
mod cluster;
mod completion;
mod config;
mod container;
mod container_instance;
mod error;
mod help;
mod iam;
mod kubeconfig;
mod limit;
mod login;
mod nsg;
mod output;
mod pod_shape;
mod quota;
mod request;
mod resource;
mod session;
mod subnet;
mod token;
mod usage;
mod vcn;
mod virtual_node_pool;
mod work_request;

use crate::{
    args::{Args, Noun},
    client::Client,
    cluster::ClusterVerb,
    config::Profile,
    error::Error,
    output::Output,
};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use std::process::ExitCode;

pub use help::texts as help_texts;

/// Runs the command line of this process; gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = Args::command().try_get_matches().map(|matches| (words(&matches), matches));
    let parsed = parsed.and_then(|(words, matches)| Ok((words, Args::from_arg_matches(&matches)?)));
    let (words, args) = match parsed {
        Ok(parsed) => parsed,
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
            if !matches!(error, Error::Exit(_)) {
                eprintln!("{words}: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// What failed, in the caller's own words: `hako cluster create`.
fn words(matches: &ArgMatches) -> String {
    let (mut words, mut at) = ("hako".to_owned(), matches);
    while let Some((name, below)) = at.subcommand() {
        words = format!("{words} {name}");
        at = below;
    }
    words
}

fn run(args: Args) -> Result<(), Error> {
    if let Noun::Completion { shell } = args.noun {
        return completion::print(shell);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start"))?;
    let done = runtime.block_on(dispatch(args));
    // A read of standard input can't be called off; nobody waits for it.
    runtime.shutdown_background();
    done
}

async fn dispatch(args: Args) -> Result<(), Error> {
    let out = Output(args.output);
    let noun = match args.noun {
        Noun::Login(how) => return login::login(&args.connection, how).await,
        Noun::Logout => return login::logout(&args.connection),
        noun => noun,
    };
    let profile = Profile::load(&args.connection)?;
    // Signing needs no network: kubectl calls it before each command.
    if let Noun::Cluster(ClusterVerb::GenerateToken { cluster_id }) = &noun {
        return token::print_credential(&profile, cluster_id).await;
    }
    let mut client = Client::new(profile)?;
    iam::compartment::settle(&mut client).await?;
    let client = &client;
    match noun {
        Noun::Cluster(verb) => cluster::run(client, out, verb).await,
        Noun::VirtualNodePool(verb) => virtual_node_pool::run(client, out, verb).await,
        Noun::VirtualNode(verb) => virtual_node_pool::run_nodes(client, out, verb).await,
        Noun::PodShape(verb) => pod_shape::run(client, out, verb).await,
        Noun::ContainerInstance(verb) => container_instance::run(client, out, verb).await,
        Noun::Container(verb) => container::run(client, out, verb).await,
        Noun::WorkRequest(verb) => work_request::run(client, out, verb).await,
        Noun::Usage(verb) => usage::run(client, out, verb).await,
        Noun::Iam(verb) => iam::run(client, out, verb).await,
        Noun::Quota(verb) => quota::run(client, out, verb).await,
        Noun::Limit(verb) => limit::run(client, out, verb).await,
        Noun::AuditEvent(verb) => audit_event::run(client, out, verb).await,
        Noun::Vcn(verb) => vcn::run(client, out, verb).await,
        Noun::Subnet(verb) => subnet::run(client, out, verb).await,
        Noun::Nsg(verb) => nsg::run(client, out, verb).await,
        Noun::Api(call) => api::run(client, out, call).await,
        Noun::Login(_) | Noun::Logout | Noun::Completion { .. } => unreachable!("answered before a client is made"),
    }
}
