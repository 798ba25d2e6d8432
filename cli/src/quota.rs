//! Quotas: rules of how much may be used in a compartment.

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
    noun: "quota",
    command: "hako quota",
    path: "/20181025/quotas",
    name: "name",
    // Source: OCI's quotas, which are all in the tenancy and name compartments.
    scope: Scope::Tenancy,
    columns: &[
        Column("NAME", "/name"),
        Column("STATE", "/lifecycleState"),
        Column("STATEMENTS", "/statements"),
        Column("ID", "/id"),
    ],
    goes: "; the limits hold again",
};

/// What to do with quotas.
#[derive(Debug, Subcommand)]
pub(crate) enum QuotaVerb {
    /// Create a quota
    Create {
        /// Name of the new quota
        name: String,
        /// A rule, as `Set container-engine quota cluster-count to 2 in compartment c`; may be repeated
        #[arg(long = "statement", value_name = "TEXT")]
        statements: Vec<String>,
        /// What it is for [default: its name]
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// List quotas
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a quota
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a quota
    Update {
        #[command(flatten)]
        target: Target,
        /// All its rules from now on; may be repeated
        #[arg(long = "statement", value_name = "TEXT")]
        statements: Vec<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Delete a quota
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: QuotaVerb) -> Result<(), Error> {
    match verb {
        QuotaVerb::Create { name, statements, description, extra } => {
            let body = Body::default().set("name", Some(name.clone())).list("statements", statements);
            let body = body.set("description", description).with(&extra)?.usual("description", name);
            if body.get("statements").is_none() {
                return Err(Error::Misused("a quota without --statement rules nothing".into()));
            }
            KIND.create(client, out, (body, &Extra::default()), None).await
        }
        QuotaVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        QuotaVerb::Get { target } => KIND.get(client, out, &target).await,
        QuotaVerb::Update { target, statements, description, extra } => {
            let id = KIND.find(client, &target.target).await?;
            let body = Body::default().list("statements", statements).set("description", description);
            KIND.update(client, out, &id, (body, &extra), None).await
        }
        QuotaVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
    }
}
