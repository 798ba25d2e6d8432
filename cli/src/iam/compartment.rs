//! Compartments.

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

/// Compartments, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "compartment",
    command: "hako iam compartment",
    path: "/20160918/compartments",
    name: "name",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/name"),
        Column("STATE", "/lifecycleState"),
        Column("DESCRIPTION", "/description"),
        Column("PARENT", "/compartmentId"),
        Column("ID", "/id"),
    ],
    goes: "; it must be empty",
};
/// Found by name, they may be anywhere in the tenancy.
const ANYWHERE: Kind = Kind { scope: Scope::Tenancy, ..KIND };
const BELOW: &[(&str, &str)] = &[("compartmentIdInSubtree", "true")];

/// What to do with compartments.
#[derive(Debug, Subcommand)]
pub(crate) enum CompartmentVerb {
    /// Create a compartment in the one to work in
    Create {
        /// Name of the new compartment
        name: String,
        /// What it is for [default: its name]
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// List the compartments in the one to work in
    List {
        /// Those of the whole tenancy
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a compartment
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a compartment
    Update {
        #[command(flatten)]
        target: Target,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Move a compartment into another one
    Move {
        #[command(flatten)]
        target: Target,
        /// The other one
        #[arg(long, value_name = "NAME|OCID")]
        to: String,
    },
    /// Delete a compartment in which nothing is
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: CompartmentVerb) -> Result<(), Error> {
    match verb {
        CompartmentVerb::Create { name, description, extra } => {
            let body = described(Body::default().set("name", Some(name.clone())), description).with(&extra)?;
            KIND.create(client, out, (body.usual("description", name), &Extra::default()), None).await
        }
        CompartmentVerb::List { all: false, listing } => KIND.list(client, out, &listing, &[]).await,
        CompartmentVerb::List { all: true, listing } => ANYWHERE.list(client, out, &listing, BELOW).await,
        CompartmentVerb::Get { target } => KIND.show(client, out, &find(client, &target.target).await?).await,
        CompartmentVerb::Update { target, name, description, extra } => {
            let id = find(client, &target.target).await?;
            let body = described(Body::default().set("name", name), description);
            KIND.update(client, out, &id, (body, &extra), None).await
        }
        CompartmentVerb::Move { target, to } => {
            let id = find(client, &target.target).await?;
            let body = json!({"targetCompartmentId": find(client, &to).await?});
            let path = format!("{}/actions/moveCompartment", KIND.path_of(&id));
            let answer = client.change(&Method::POST, &path, Some(&body)).await?;
            match answer.body {
                Some(_) => KIND.finish(client, out, answer, None).await,
                None => KIND.show(client, out, &id).await,
            }
        }
        CompartmentVerb::Delete { removal } => {
            let id = find(client, &removal.target.target).await?;
            KIND.delete_found(client, out, (&id, KIND.goes), removal.care, None).await
        }
    }
}

/// Sets a description, if there is one.
pub(super) fn described(body: Body, description: Option<String>) -> Body {
    body.set("description", description)
}

/// The OCID of a compartment of the tenancy that is given by its name or its OCID.
pub(crate) async fn find(client: &Client, target: &str) -> Result<String, Error> {
    ANYWHERE.find_with(client, target, BELOW).await
}

/// Makes the compartment to work in an OCID, if it was given by name.
pub(crate) async fn settle(client: &mut Client) -> Result<(), Error> {
    let named = client.profile.compartment.clone();
    if !named.is_empty() && !named.starts_with("ocid1.") {
        client.profile.compartment = find(client, &named).await?;
    }
    Ok(())
}
