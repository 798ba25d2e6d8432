//! Groups.

use super::compartment::described;
use crate::{
    args::{Extra, Listing, Removal, Target},
    client::Client,
    error::Error,
    output::{Column, Output},
    request::Body,
    resource::{Kind, Scope},
};
use clap::Subcommand;

/// Groups, for what all resources have in common.
pub(super) const KIND: Kind = Kind {
    noun: "group",
    command: "hako iam group",
    path: "/20160918/groups",
    name: "name",
    scope: Scope::Tenancy,
    columns: &[
        Column("NAME", "/name"),
        Column("STATE", "/lifecycleState"),
        Column("DESCRIPTION", "/description"),
        Column("CREATED", "/timeCreated"),
        Column("ID", "/id"),
    ],
    goes: "; policies that name it stay, and hold for nobody",
};

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// Create a group, which may do nothing yet
    Create {
        /// Name of the new group
        name: String,
        /// Who is in it [default: its name]
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// List groups
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a group
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a group
    Update {
        #[command(flatten)]
        target: Target,
        /// Who is in it
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Delete a group
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: GroupVerb) -> Result<(), Error> {
    match verb {
        GroupVerb::Create { name, description, extra } => {
            let body = described(Body::default().set("name", Some(name.clone())), description);
            let body = body.with(&extra)?.usual("description", name);
            KIND.create(client, out, (body, &Extra::default()), None).await
        }
        GroupVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        GroupVerb::Get { target } => KIND.get(client, out, &target).await,
        GroupVerb::Update { target, description, extra } => {
            let id = KIND.find(client, &target.target).await?;
            KIND.update(client, out, &id, (described(Body::default(), description), &extra), None).await
        }
        GroupVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
    }
}
