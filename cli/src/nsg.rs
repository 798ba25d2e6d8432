//! Network security groups.

mod rule;

use crate::{
    args::{Extra, Listing, Removal, Target},
    client::Client,
    error::Error,
    output::{Column, Output},
    request::Body,
    resource::{Kind, Scope},
    vcn,
};
use clap::Subcommand;

/// Security groups, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "network security group",
    command: "hako nsg",
    path: "/20160918/networkSecurityGroups",
    name: "displayName",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/displayName"),
        Column("STATE", "/lifecycleState"),
        Column("VCN", "/vcnId"),
        Column("CREATED", "/timeCreated"),
        Column("ID", "/id"),
    ],
    goes: ", with its rules",
};

/// What to do with network security groups.
#[derive(Debug, Subcommand)]
pub(crate) enum NsgVerb {
    /// Create a group without rules
    Create {
        /// Name of the new group
        name: String,
        /// Its network
        #[arg(long, value_name = "NAME|OCID")]
        vcn: String,
        #[command(flatten)]
        extra: Extra,
    },
    /// List groups
    List {
        /// Only those of this network
        #[arg(long, value_name = "NAME|OCID")]
        vcn: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a group
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a group's name or tags
    Update {
        #[command(flatten)]
        target: Target,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Delete a group
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
    /// The rules of a group
    #[command(subcommand)]
    Rule(rule::RuleVerb),
}

pub(crate) async fn run(client: &Client, out: Output, verb: NsgVerb) -> Result<(), Error> {
    match verb {
        NsgVerb::Create { name, vcn, extra } => {
            let vcn = vcn::KIND.find(client, &vcn).await?;
            let body = Body::default().set("displayName", Some(name)).set("vcnId", Some(vcn));
            KIND.create(client, out, (body, &extra), None).await
        }
        NsgVerb::List { vcn, listing } => {
            let id = vcn::KIND.find_if(client, vcn.as_deref()).await?;
            let of: Vec<(&str, &str)> = id.as_deref().map(|id| ("vcnId", id)).into_iter().collect();
            KIND.list(client, out, &listing, &of).await
        }
        NsgVerb::Get { target } => KIND.get(client, out, &target).await,
        NsgVerb::Update { target, name, extra } => {
            let body = Body::default().set("displayName", name);
            KIND.update(client, out, &KIND.find(client, &target.target).await?, (body, &extra), None).await
        }
        NsgVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
        NsgVerb::Rule(verb) => rule::run(client, out, verb).await,
    }
}
