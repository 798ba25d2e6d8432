//! Subnets.

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

/// Subnets, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "subnet",
    command: "hako subnet",
    path: "/20160918/subnets",
    name: "displayName",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/displayName"),
        Column("STATE", "/lifecycleState"),
        Column("CIDR", "/cidrBlock"),
        Column("VCN", "/vcnId"),
        Column("ID", "/id"),
    ],
    goes: "; it must be empty",
};

/// What to do with subnets.
#[derive(Debug, Subcommand)]
pub(crate) enum SubnetVerb {
    /// Create a subnet
    Create {
        /// Name of the new subnet
        name: String,
        /// Its network
        #[arg(long, value_name = "NAME|OCID")]
        vcn: String,
        /// Range of its addresses
        #[arg(long, value_name = "CIDR")]
        cidr_block: String,
        /// Its name in DNS
        #[arg(long)]
        dns_label: Option<String>,
        /// Availability domain [default: all of the region]
        #[arg(long, value_name = "NAME")]
        availability_domain: Option<String>,
        /// Nothing in it may have a public address
        #[arg(long)]
        prohibit_public_ip: bool,
        #[command(flatten)]
        extra: Extra,
    },
    /// List subnets
    List {
        /// Only those of this network
        #[arg(long, value_name = "NAME|OCID")]
        vcn: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a subnet
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Change a subnet's name or tags
    Update {
        #[command(flatten)]
        target: Target,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        extra: Extra,
    },
    /// Delete a subnet in which nothing is
    Delete {
        #[command(flatten)]
        removal: Removal,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: SubnetVerb) -> Result<(), Error> {
    match verb {
        SubnetVerb::Create { name, vcn, cidr_block, dns_label, availability_domain, prohibit_public_ip, extra } => {
            let body = Body::default()
                .set("displayName", Some(name))
                .set("vcnId", Some(vcn::KIND.find(client, &vcn).await?))
                .set("cidrBlock", Some(cidr_block))
                .set("dnsLabel", dns_label)
                .set("availabilityDomain", availability_domain)
                .set("prohibitPublicIpOnVnic", Some(true).filter(|_| prohibit_public_ip));
            KIND.create(client, out, (body, &extra), None).await
        }
        SubnetVerb::List { vcn, listing } => {
            let id = vcn::KIND.find_if(client, vcn.as_deref()).await?;
            let of: Vec<(&str, &str)> = id.as_deref().map(|id| ("vcnId", id)).into_iter().collect();
            KIND.list(client, out, &listing, &of).await
        }
        SubnetVerb::Get { target } => KIND.get(client, out, &target).await,
        SubnetVerb::Update { target, name, extra } => {
            let body = Body::default().set("displayName", name);
            KIND.update(client, out, &KIND.find(client, &target.target).await?, (body, &extra), None).await
        }
        SubnetVerb::Delete { removal } => KIND.delete(client, out, &removal, None).await,
    }
}
