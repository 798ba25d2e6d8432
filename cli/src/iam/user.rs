//! Users.

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
use reqwest::Method;
use serde_json::json;

/// Users, for what all resources have in common.
pub(super) const KIND: Kind = Kind {
    noun: "user",
    command: "hako iam user",
    path: "/20160918/users",
    name: "name",
    scope: Scope::Tenancy,
    columns: &[
        Column("NAME", "/name"),
        Column("STATE", "/lifecycleState"),
        Column("EMAIL", "/email"),
        Column("DESCRIPTION", "/description"),
        Column("ID", "/id"),
    ],
    goes: ", with its API keys and memberships",
};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserVerb {
    /// Create a user, who may do nothing yet
    Create {
        /// Name of the new user
        name: String,
        /// Who it is [default: its name]
        #[arg(long)]
        description: Option<String>,
        /// Mail address
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// List users
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a user
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a user
    Update {
        #[command(flatten)]
        target: Target,
        /// Who it is
        #[arg(long)]
        description: Option<String>,
        /// Mail address
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Let a user back in that was locked out
    Unblock {
        #[command(flatten)]
        target: Target,
    },
    /// Delete a user
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: UserVerb) -> Result<(), Error> {
    match verb {
        UserVerb::Create { name, description, email, extra } => {
            let body = described(Body::default().set("name", Some(name.clone())).set("email", email), description);
            let body = body.with(&extra)?.usual("description", name);
            KIND.create(client, out, (body, &Extra::default()), None).await
        }
        UserVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        UserVerb::Get { target } => KIND.get(client, out, &target).await,
        UserVerb::Update { target, description, email, extra } => {
            let id = KIND.find(client, &target.target).await?;
            let body = described(Body::default().set("email", email), description);
            KIND.update(client, out, &id, (body, &extra), None).await
        }
        UserVerb::Unblock { target } => {
            let path = format!("{}/state", KIND.path_of(&KIND.find(client, &target.target).await?));
            let answer = client.change(&Method::PUT, &path, Some(&json!({"blocked": false}))).await?;
            KIND.finish(client, out, answer, None).await
        }
        UserVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
    }
}
