//! What ran, and what it costs.

use crate::{
    args::Format,
    client::Client,
    cluster,
    error::Error,
    output::{Column, Output},
};
use clap::Subcommand;

const COLUMNS: &[Column] = &[
    Column("NAMESPACE", "/namespace"),
    Column("POD", "/name"),
    Column("SECONDS", "/seconds"),
    Column("OCPU", "/ocpus"),
    Column("GB", "/memoryInGBs"),
    Column("BILLED OCPU", "/billedOcpus"),
    Column("BILLED GB", "/billedMemoryInGBs"),
    Column("COST", "/cost"),
    Column("CURRENCY", "/currency"),
];

/// What to do with usage.
#[derive(Debug, Subcommand)]
pub(crate) enum UsageVerb {
    /// List what each pod used and what that costs so far
    List {
        /// Cluster, by name or OCID; also one that was deleted, by OCID
        #[arg(long)]
        cluster: String,
        /// Only pods of this namespace
        #[arg(long, short)]
        namespace: Option<String>,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: UsageVerb) -> Result<(), Error> {
    let UsageVerb::List { cluster, namespace } = verb;
    let id = cluster::KIND.find(client, &cluster).await?;
    let mut query = vec![("clusterId", id.as_str())];
    query.extend(namespace.as_deref().map(|namespace| ("namespace", namespace)));
    let pods = client.list("/usage/v1/pods", &query).await?;
    if pods.is_empty() && out.0 == Format::Table {
        eprintln!("hako: no pod of this cluster has used anything yet");
    }
    out.list(&pods, COLUMNS)
}
