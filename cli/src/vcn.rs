//! Virtual cloud networks.

use crate::{
    args::{Extra, Listing, Removal, Target},
    client::Client,
    error::Error,
    output::{Column, Output},
    request::Body,
    resource::{Kind, Scope},
};
use clap::Subcommand;

/// Networks, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "network",
    command: "hako vcn",
    path: "/20160918/vcns",
    name: "displayName",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/displayName"),
        Column("STATE", "/lifecycleState"),
        Column("CIDR", "/cidrBlocks"),
        Column("CREATED", "/timeCreated"),
        Column("ID", "/id"),
    ],
    goes: "; it must be empty",
};

/// What to do with networks.
#[derive(Debug, Subcommand)]
pub(crate) enum VcnVerb {
    /// Create a network
    Create {
        /// Name of the new network
        name: String,
        /// Range of its addresses; may be repeated
        #[arg(long = "cidr-block", value_name = "CIDR")]
        cidr_blocks: Vec<String>,
        /// Its name in DNS
        #[arg(long)]
        dns_label: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// List networks
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a network
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a network's name or tags
    Update {
        #[command(flatten)]
        target: Target,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Delete a network in which nothing is
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: VcnVerb) -> Result<(), Error> {
    match verb {
        VcnVerb::Create { name, cidr_blocks, dns_label, extra } => {
            let body = Body::default()
                .set("displayName", Some(name))
                .list("cidrBlocks", cidr_blocks)
                .set("dnsLabel", dns_label);
            KIND.create(client, out, (body, &extra), None).await
        }
        VcnVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        VcnVerb::Get { target } => KIND.get(client, out, &target).await,
        VcnVerb::Update { target, name, extra } => {
            let body = Body::default().set("displayName", name);
            KIND.update(client, out, &KIND.find(client, &target.target).await?, (body, &extra), None).await
        }
        VcnVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
    }
}
