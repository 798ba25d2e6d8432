//! Pools of virtual nodes, and their nodes.

use crate::{
    args::{Extra, Listing, Removal, Target, Wait},
    client::{self, Client},
    cluster,
    error::Error,
    nsg,
    output::{Column, Output},
    request::{Body, pair},
    resource::{Kind, Scope},
    subnet,
};
use clap::{Args as Group, Subcommand};
use serde_json::{Value, json};

const KIND: Kind = Kind {
    noun: "virtual node pool",
    command: "hako virtual-node-pool",
    path: "/20180222/virtualNodePools",
    name: "displayName",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/displayName"),
        Column("STATE", "/lifecycleState"),
        Column("SIZE", "/size"),
        Column("SHAPE", "/podConfiguration/shape"),
        Column("VERSION", "/kubernetesVersion"),
        Column("ID", "/id"),
    ],
    goes: ", and its nodes are drained first",
};
const NODE: &[Column] = &[
    Column("NAME", "/displayName"),
    Column("STATE", "/lifecycleState"),
    Column("ADDRESS", "/privateIp"),
    Column("DOMAIN", "/availabilityDomain"),
    Column("FAULT DOMAIN", "/faultDomain"),
    Column("ID", "/id"),
];

/// A pool.
#[derive(Debug, Group)]
pub(crate) struct Pool {
    #[command(flatten)]
    target: Target,
    /// Cluster of the pool, if it is given by name
    #[arg(long)]
    cluster: Option<String>,
}

/// What to do with pools of virtual nodes. A pool is given by its OCID, or by its name and `--cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolVerb {
    /// Create a pool
    Create {
        /// Cluster of the pool
        #[arg(long)]
        cluster: String,
        /// Name of the new pool
        #[arg(long)]
        name: String,
        /// Number of nodes
        #[arg(long)]
        size: u32,
        /// Shape of the pods [default: Pod.Standard.E4.Flex]
        #[arg(long)]
        pod_shape: Option<String>,
        /// Subnet of the pods [default: the cluster's network's own]
        #[arg(long, value_name = "NAME|OCID")]
        pod_subnet: Option<String>,
        /// Security group of the pods; may be repeated
        #[arg(long = "pod-nsg", value_name = "NAME|OCID")]
        pod_nsgs: Vec<String>,
        /// Label of the nodes, as `key=value`; may be repeated
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// Taint of the nodes, as `key=value:effect`; may be repeated
        #[arg(long = "taint", value_name = "KEY=VALUE:EFFECT")]
        taints: Vec<String>,
        #[command(flatten)]
        extra: Extra,
        #[command(flatten)]
        wait: Wait,
    },
    /// List pools
    List {
        /// Only those of this cluster
        #[arg(long)]
        cluster: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a pool
    Get {
        #[command(flatten)]
        pool: Pool,
    },
    /// Change a pool; fewer nodes are drained first
    Update {
        #[command(flatten)]
        pool: Pool,
        /// New number of nodes
        #[arg(long)]
        size: Option<u32>,
        /// Version to upgrade the nodes to; pods keep running
        #[arg(long)]
        kubernetes_version: Option<String>,
        /// New name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        extra: Extra,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a pool; its pods move to other pools of the cluster or wait
    Delete {
        #[command(flatten)]
        removal: Removal,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

/// What to do with virtual nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// List the nodes of a pool
    List {
        /// The pool
        #[arg(long)]
        pool: String,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
    },
    /// Show a node of a pool
    Get {
        /// OCID of the node
        id: String,
        /// The pool
        #[arg(long)]
        pool: String,
        /// Cluster of the pool, if it is given by name
        #[arg(long)]
        cluster: Option<String>,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: PoolVerb) -> Result<(), Error> {
    match verb {
        PoolVerb::Create { cluster, name, size, pod_shape, pod_subnet, pod_nsgs, labels, taints, extra, wait } => {
            // A misused command line is told before anything is asked.
            let labels = labels.iter().map(|l| label(l)).collect::<Result<Vec<_>, _>>()?;
            let taints = taints.iter().map(|t| taint(t)).collect::<Result<Vec<_>, _>>()?;
            let pods = Body::default()
                .set("shape", pod_shape)
                .set("subnetId", subnet::KIND.find_if(client, pod_subnet.as_deref()).await?)
                .list("nsgIds", nsg::KIND.find_each(client, &pod_nsgs).await?);
            let body = Body::default()
                .set("clusterId", Some(cluster::KIND.find(client, &cluster).await?))
                .set("displayName", Some(name))
                .set("size", Some(size))
                .list("initialVirtualNodeLabels", labels)
                .list("taints", taints)
                .set("podConfiguration", Some(pods).filter(|pods| !pods.is_empty()).map(Body::json));
            KIND.create(client, out, (body, &extra), Some(wait)).await
        }
        PoolVerb::List { cluster, listing } => {
            let id = cluster::KIND.find_if(client, cluster.as_deref()).await?;
            KIND.list(client, out, &listing, &of(id.as_deref())).await
        }
        PoolVerb::Get { pool } => {
            KIND.show(client, out, &find(client, &pool.target, pool.cluster.as_deref()).await?).await
        }
        PoolVerb::Update { pool, size, kubernetes_version, name, extra, wait } => {
            let id = find(client, &pool.target, pool.cluster.as_deref()).await?;
            let body =
                Body::default().set("size", size).set("kubernetesVersion", kubernetes_version).set("displayName", name);
            KIND.update(client, out, &id, (body, &extra), Some(wait)).await
        }
        PoolVerb::Delete { removal, cluster, wait } => {
            let id = find(client, &removal.target, cluster.as_deref()).await?;
            KIND.delete_found(client, out, (&id, KIND.goes), removal.care, Some(wait)).await
        }
    }
}

pub(crate) async fn run_nodes(client: &Client, out: Output, verb: NodeVerb) -> Result<(), Error> {
    let path = async |pool: String, cluster: Option<String>| -> Result<String, Error> {
        let id = find(client, &Target { target: pool }, cluster.as_deref()).await?;
        Ok(format!("{}/virtualNodes", KIND.path_of(&id)))
    };
    match verb {
        NodeVerb::List { pool, cluster } => out.list(&client.list(&path(pool, cluster).await?, &[]).await?, NODE),
        NodeVerb::Get { id, pool, cluster } => {
            let id = client::segment("virtual node", &id)?;
            out.one(&client.get(&format!("{}/{id}", path(pool, cluster).await?)).await?, NODE)
        }
    }
}

fn of(cluster: Option<&str>) -> Vec<(&str, &str)> {
    cluster.map(|id| ("clusterId", id)).into_iter().collect()
}

async fn find(client: &Client, pool: &Target, cluster: Option<&str>) -> Result<String, Error> {
    let cluster = cluster::KIND.find_if(client, cluster).await?;
    KIND.find_with(client, &pool.target, &of(cluster.as_deref())).await
}

fn label(text: &str) -> Result<Value, Error> {
    pair("--label", text).map(|(key, value)| json!({"key": key, "value": value}))
}

fn taint(text: &str) -> Result<Value, Error> {
    let wrong = || Error::Misused(format!("--taint {text:?}: write it as key=value:effect"));
    let (pair, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if key.is_empty() { Err(wrong()) } else { Ok(json!({"key": key, "value": value, "effect": effect})) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_taints_are_read() {
        assert_eq!(label("a/b=c").unwrap(), json!({"key": "a/b", "value": "c"}));
        assert!(label("a").is_err());
        assert_eq!(taint("a=b:NoSchedule").unwrap(), json!({"key": "a", "value": "b", "effect": "NoSchedule"}));
        assert_eq!(taint("a:NoExecute").unwrap(), json!({"key": "a", "value": "", "effect": "NoExecute"}));
        assert!(taint("a=b").is_err());
    }
}
