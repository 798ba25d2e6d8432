//! Container instances: containers without a cluster.

mod create;
mod exec;
mod logs;
mod run;

use crate::{
    args::{Extra, Listing, Removal, Target, Wait},
    client::Client,
    error::Error,
    iam::compartment,
    output::{Column, Output},
    pod_shape,
    request::Body,
    resource::{Kind, Scope},
};
use clap::Subcommand;
use serde_json::{Value, json};

/// Container instances, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "container instance",
    command: "hako container-instance",
    path: "/20210415/containerInstances",
    name: "displayName",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/displayName"),
        Column("STATE", "/lifecycleState"),
        Column("SHAPE", "/shape"),
        Column("OCPU", "/shapeConfig/ocpus"),
        Column("GB", "/shapeConfig/memoryInGBs"),
        Column("CONTAINERS", "/containerCount"),
        Column("ID", "/id"),
    ],
    goes: ", with its containers",
};

/// What to do with container instances.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceVerb {
    /// Run one container to its end: print its log, exit with its code, and delete it
    Run(run::Run),
    /// Create a container instance of one container; --from-file describes any
    Create(create::Create),
    /// List container instances
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a container instance
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change what needs no restart
    Update {
        #[command(flatten)]
        target: Target,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        extra: Extra,
        #[command(flatten)]
        wait: Wait,
    },
    /// Start a container instance that was stopped
    Start {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop a container instance; its bill stops too
    Stop {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop a container instance and start it again
    Restart {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        wait: Wait,
    },
    /// Move a container instance into another compartment
    ChangeCompartment {
        #[command(flatten)]
        target: Target,
        /// The other compartment
        #[arg(long, value_name = "NAME|OCID")]
        to: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a container instance
    Delete {
        #[command(flatten)]
        removal: Removal,
        #[command(flatten)]
        wait: Wait,
    },
    /// Print the log of a container
    Logs(logs::Logs),
    /// Run a command in a running container, and exit with its code
    Exec(exec::Exec),
    /// List the shapes of container instances
    ListShapes,
}

pub(crate) async fn run(client: &Client, out: Output, verb: InstanceVerb) -> Result<(), Error> {
    match verb {
        InstanceVerb::Run(how) => run::run(client, how).await,
        InstanceVerb::Create(how) => create::create(client, out, how).await,
        InstanceVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        InstanceVerb::Get { target } => KIND.get(client, out, &target).await,
        InstanceVerb::Update { target, name, extra, wait } => {
            let body = Body::default().set("displayName", name);
            KIND.update(client, out, &KIND.find(client, &target.target).await?, (body, &extra), Some(wait)).await
        }
        InstanceVerb::Start { target, wait } => act(client, out, (&target, "start"), wait).await,
        InstanceVerb::Stop { target, wait } => act(client, out, (&target, "stop"), wait).await,
        InstanceVerb::Restart { target, wait } => act(client, out, (&target, "restart"), wait).await,
        InstanceVerb::ChangeCompartment { target, to, wait } => {
            let id = KIND.find(client, &target.target).await?;
            let body = json!({"compartmentId": compartment::find(client, &to).await?});
            KIND.act(client, out, (&id, "changeCompartment"), Some(&body), wait).await
        }
        InstanceVerb::Delete { removal, wait } => KIND.delete(client, out, &removal, Some(wait)).await,
        InstanceVerb::Logs(what) => logs::print(client, what).await,
        InstanceVerb::Exec(what) => exec::run(client, what).await,
        InstanceVerb::ListShapes => {
            let query = [("compartmentId", client.compartment()?)];
            out.list(&client.list("/20210415/containerInstanceShapes", &query).await?, pod_shape::COLUMNS)
        }
    }
}

async fn act(client: &Client, out: Output, (target, action): (&Target, &str), wait: Wait) -> Result<(), Error> {
    KIND.act(client, out, (&KIND.find(client, &target.target).await?, action), None, wait).await
}

/// The OCID of one of an instance's containers: the one of that name, or the only one.
async fn container(client: &Client, instance: &str, name: Option<&str>) -> Result<String, Error> {
    let id = KIND.find(client, instance).await?;
    let instance = client.get(&KIND.path_of(&id)).await?;
    let all = instance["containers"].as_array().cloned().unwrap_or_default();
    let is_meant = |one: &&Value| name.is_none_or(|name| one["displayName"] == name || one["containerId"] == name);
    let mut found = all.iter().filter(is_meant);
    let names = || all.iter().filter_map(|one| one["displayName"].as_str()).collect::<Vec<_>>().join(", ");
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one["containerId"].as_str().unwrap_or_default().to_owned()),
        (None, _) => Err(Error::Misused(format!("the instance has no such container; it has: {}", names()))),
        (Some(_), Some(_)) => Err(Error::Misused(format!("--container must name one of: {}", names()))),
    }
}
