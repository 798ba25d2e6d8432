//! Containers of container instances.

use crate::{
    args::{Extra, Listing, Target, Wait},
    client::Client,
    container_instance,
    error::Error,
    output::{Column, Output},
    request::Body,
    resource::{Kind, Scope},
};
use clap::Subcommand;

/// Containers, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "container",
    command: "hako container",
    path: "/20210415/containers",
    name: "displayName",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/displayName"),
        Column("STATE", "/lifecycleState"),
        Column("IMAGE", "/imageUrl"),
        Column("EXIT CODE", "/exitCode"),
        Column("INSTANCE", "/containerInstanceId"),
        Column("ID", "/id"),
    ],
    goes: "",
};

/// What to do with containers. They are made and deleted with their container instance.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// List containers
    List {
        /// Only those of this container instance
        #[arg(long, value_name = "NAME|OCID")]
        container_instance: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a container
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a container's name or tags
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
}

pub(crate) async fn run(client: &Client, out: Output, verb: ContainerVerb) -> Result<(), Error> {
    match verb {
        ContainerVerb::List { container_instance, listing } => {
            let id = container_instance::KIND.find_if(client, container_instance.as_deref()).await?;
            let of: Vec<(&str, &str)> = id.as_deref().map(|id| ("containerInstanceId", id)).into_iter().collect();
            KIND.list(client, out, &listing, &of).await
        }
        ContainerVerb::Get { target } => KIND.get(client, out, &target).await,
        ContainerVerb::Update { target, name, extra, wait } => {
            let body = Body::default().set("displayName", name);
            KIND.update(client, out, &KIND.find(client, &target.target).await?, (body, &extra), Some(wait)).await
        }
    }
}
