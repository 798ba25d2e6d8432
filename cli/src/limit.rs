//! Limits: how much may be used, and how much is.

use crate::{
    client::{self, Client},
    error::Error,
    output::{Column, Output},
};
use clap::Subcommand;
use serde_json::{Value, json};

const BASE: &str = "/20190729";
const VALUE: &[Column] = &[
    Column("SERVICE", "/serviceName"),
    Column("NAME", "/name"),
    Column("SCOPE", "/scopeType"),
    Column("VALUE", "/value"),
];
const SERVICE: &[Column] = &[Column("NAME", "/name"), Column("DESCRIPTION", "/description")];
const DEFINITION: &[Column] = &[
    Column("SERVICE", "/serviceName"),
    Column("NAME", "/name"),
    Column("DESCRIPTION", "/description"),
    Column("QUOTAS", "/areQuotasSupported"),
];
const AVAILABILITY: &[Column] =
    &[Column("USED", "/used"), Column("AVAILABLE", "/available"), Column("QUOTA", "/effectiveQuotaValue")];

/// What to do with limits.
#[derive(Debug, Subcommand)]
pub(crate) enum LimitVerb {
    /// List the values of the tenancy's limits
    List {
        /// Only those of this service
        #[arg(long)]
        service: Option<String>,
        /// Only the one of this name
        #[arg(long)]
        name: Option<String>,
    },
    /// Show how much of something a compartment uses, and how much it still may
    Get {
        /// Name of the limit
        name: String,
        /// Its service
        #[arg(long)]
        service: String,
    },
    /// List what is limited
    ListDefinitions {
        /// Only those of this service
        #[arg(long)]
        service: Option<String>,
    },
    /// List the services that have limits
    ListServices,
}

pub(crate) async fn run(client: &Client, out: Output, verb: LimitVerb) -> Result<(), Error> {
    let tenancy = ("compartmentId", client.tenancy()?);
    match verb {
        LimitVerb::List { service, name } => out.list(&values(client, tenancy, service, name.as_deref()).await?, VALUE),
        LimitVerb::Get { name, service } => {
            let (service, name) = (client::segment("service", &service)?, client::segment("limit", &name)?);
            let path = format!("{BASE}/services/{service}/limits/{name}/resourceAvailability");
            let query = [("compartmentId", client.compartment()?)];
            out.one(&client.get_with(&path, &query).await?, AVAILABILITY)
        }
        LimitVerb::ListDefinitions { service } => {
            let mut query = vec![tenancy];
            query.extend(service.as_deref().map(|service| ("serviceName", service)));
            out.list(&client.list(&format!("{BASE}/limitDefinitions"), &query).await?, DEFINITION)
        }
        LimitVerb::ListServices => out.list(&services(client, tenancy).await?, SERVICE),
    }
}

async fn services(client: &Client, tenancy: (&str, &str)) -> Result<Vec<Value>, Error> {
    client.list(&format!("{BASE}/services"), &[tenancy]).await
}

/// Values of one service or, one after the other, of all.
async fn values(
    client: &Client,
    tenancy: (&str, &str),
    service: Option<String>,
    name: Option<&str>,
) -> Result<Vec<Value>, Error> {
    let names = match service {
        Some(service) => vec![service],
        None => {
            let all = services(client, tenancy).await?;
            all.iter().filter_map(|service| service["name"].as_str().map(str::to_owned)).collect()
        }
    };
    let mut all = Vec::new();
    for service in &names {
        let mut query = vec![tenancy, ("serviceName", service.as_str())];
        query.extend(name.map(|name| ("name", name)));
        let mut values = client.list(&format!("{BASE}/limitValues"), &query).await?;
        for value in &mut values {
            // Which the API does not repeat in each.
            value["serviceName"] = json!(service);
        }
        all.extend(values);
    }
    Ok(all)
}
