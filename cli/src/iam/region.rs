//! The tenancy, and where things can be: regions, availability domains and fault domains.

use crate::{
    client::Client,
    error::Error,
    output::{Column, Output},
};
use clap::Subcommand;

const TENANCY: &[Column] = &[
    Column("NAME", "/name"),
    Column("HOME REGION", "/homeRegionKey"),
    Column("DESCRIPTION", "/description"),
    Column("ID", "/id"),
];
const SUBSCRIPTION: &[Column] = &[
    Column("REGION", "/regionName"),
    Column("KEY", "/regionKey"),
    Column("STATUS", "/status"),
    Column("HOME", "/isHomeRegion"),
];
const REGION: &[Column] = &[Column("NAME", "/name"), Column("KEY", "/key")];
const DOMAIN: &[Column] = &[Column("NAME", "/name"), Column("ID", "/id")];

/// What to do with the tenancy.
#[derive(Debug, Subcommand)]
pub(crate) enum TenancyVerb {
    /// Show the tenancy
    Get,
    /// List the regions that the tenancy uses
    ListRegions,
}

/// What to do with regions.
#[derive(Debug, Subcommand)]
pub(crate) enum RegionVerb {
    /// List the regions of the cloud
    List,
    /// List the availability domains of this region
    ListAvailabilityDomains,
    /// List the fault domains of an availability domain
    ListFaultDomains {
        /// Name of the availability domain
        #[arg(long, value_name = "NAME")]
        availability_domain: String,
    },
}

pub(crate) async fn run_tenancy(client: &Client, out: Output, verb: TenancyVerb) -> Result<(), Error> {
    let path = format!("/20160918/tenancies/{}", client.tenancy()?);
    match verb {
        TenancyVerb::Get => out.one(&client.get(&path).await?, TENANCY),
        TenancyVerb::ListRegions => {
            out.list(&client.list(&format!("{path}/regionSubscriptions"), &[]).await?, SUBSCRIPTION)
        }
    }
}

pub(crate) async fn run(client: &Client, out: Output, verb: RegionVerb) -> Result<(), Error> {
    match verb {
        RegionVerb::List => out.list(&client.list("/20160918/regions", &[]).await?, REGION),
        RegionVerb::ListAvailabilityDomains => {
            let query = [("compartmentId", client.compartment()?)];
            out.list(&client.list("/20160918/availabilityDomains", &query).await?, DOMAIN)
        }
        RegionVerb::ListFaultDomains { availability_domain } => {
            let query =
                [("compartmentId", client.compartment()?), ("availabilityDomain", availability_domain.as_str())];
            out.list(&client.list("/20160918/faultDomains", &query).await?, DOMAIN)
        }
    }
}
