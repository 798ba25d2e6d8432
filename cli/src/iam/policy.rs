//! Policies.

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

const KIND: Kind = Kind {
    noun: "policy",
    command: "hako iam policy",
    path: "/20160918/policies",
    name: "name",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/name"),
        Column("STATE", "/lifecycleState"),
        Column("STATEMENTS", "/statements"),
        Column("ID", "/id"),
    ],
    goes: ", and with it what it allows",
};

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Create a policy
    Create {
        /// Name of the new policy
        name: String,
        /// What it allows, as `Allow group g to manage clusters in tenancy`; may be repeated
        #[arg(long = "statement", value_name = "TEXT")]
        statements: Vec<String>,
        /// What it is for [default: its name]
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// List policies
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a policy
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a policy
    Update {
        #[command(flatten)]
        target: Target,
        /// All that it allows from now on; may be repeated
        #[arg(long = "statement", value_name = "TEXT")]
        statements: Vec<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Delete a policy
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: PolicyVerb) -> Result<(), Error> {
    match verb {
        PolicyVerb::Create { name, statements, description, extra } => {
            let body = Body::default().set("name", Some(name.clone())).list("statements", statements);
            let body = described(body, description).with(&extra)?.usual("description", name);
            if body.get("statements").is_none() {
                return Err(Error::Misused("a policy without --statement allows nothing".into()));
            }
            KIND.create(client, out, (body, &Extra::default()), None).await
        }
        PolicyVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        PolicyVerb::Get { target } => KIND.get(client, out, &target).await,
        PolicyVerb::Update { target, statements, description, extra } => {
            let id = KIND.find(client, &target.target).await?;
            let body = described(Body::default().list("statements", statements), description);
            KIND.update(client, out, &id, (body, &extra), None).await
        }
        PolicyVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
    }
}
