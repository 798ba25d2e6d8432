//! Pools of virtual nodes, and their nodes.

use crate::{
    args::{NodeVerb, PoolVerb},
    client::{self, Client},
    cluster,
    error::Error,
    output::{Column, Output},
    work_request::{self, Outcome},
};
use reqwest::Method;
use serde_json::{Value, json};

const BASE: &str = "/20180222/virtualNodePools";
const COLUMNS: &[Column] = &[
    Column("NAME", "/displayName"),
    Column("STATE", "/lifecycleState"),
    Column("SIZE", "/size"),
    Column("SHAPE", "/podConfiguration/shape"),
    Column("VERSION", "/kubernetesVersion"),
    Column("ID", "/id"),
];
const NODE: &[Column] = &[
    Column("NAME", "/displayName"),
    Column("STATE", "/lifecycleState"),
    Column("ADDRESS", "/privateIp"),
    Column("DOMAIN", "/availabilityDomain"),
    Column("FAULT DOMAIN", "/faultDomain"),
    Column("ID", "/id"),
];

pub(crate) async fn run(client: &Client, out: Output, verb: PoolVerb) -> Result<(), Error> {
    match verb {
        PoolVerb::Create { cluster, name, size, pod_shape, labels, taints, wait } => {
            // A misused command line is told before anything is asked.
            let labels = labels.iter().map(|l| label(l)).collect::<Result<Vec<_>, _>>()?;
            let taints = taints.iter().map(|t| taint(t)).collect::<Result<Vec<_>, _>>()?;
            let mut body = json!({
                "compartmentId": client.compartment(),
                "clusterId": cluster::resolve(client, &cluster).await?,
                "displayName": name,
                "size": size,
                "initialVirtualNodeLabels": labels,
                "taints": taints,
            });
            if let Some(shape) = pod_shape {
                body["podConfiguration"] = json!({"shape": shape});
            }
            let work = client.change(Method::POST, BASE, Some(&body)).await?;
            finish(client, out, work_request::follow(client, &work, wait).await?).await
        }
        PoolVerb::List { cluster } => out.list(&list(client, cluster.as_deref()).await?, COLUMNS),
        PoolVerb::Get { pool, cluster } => show(client, out, &resolve(client, &pool, cluster.as_deref()).await?).await,
        PoolVerb::Update { pool, cluster, size, kubernetes_version, name, wait } => {
            let mut body = serde_json::Map::new();
            body.extend(size.map(|size| ("size".to_owned(), json!(size))));
            body.extend(kubernetes_version.map(|version| ("kubernetesVersion".to_owned(), json!(version))));
            body.extend(name.map(|name| ("displayName".to_owned(), json!(name))));
            if body.is_empty() {
                return Err(Error::Misused("nothing to change: give --size, --kubernetes-version or --name".into()));
            }
            let path = format!("{BASE}/{}", resolve(client, &pool, cluster.as_deref()).await?);
            let work = client.change(Method::PUT, &path, Some(&body.into())).await?;
            finish(client, out, work_request::follow(client, &work, wait).await?).await
        }
        PoolVerb::Delete { pool, cluster, dry_run: true, .. } => {
            let id = resolve(client, &pool, cluster.as_deref()).await?;
            eprintln!(
                "hako: nothing is deleted (--dry-run); without it this pool goes, and its nodes are drained first"
            );
            show(client, out, &id).await
        }
        PoolVerb::Delete { pool, cluster, dry_run: false, wait } => {
            let path = format!("{BASE}/{}", resolve(client, &pool, cluster.as_deref()).await?);
            let work = client.change(Method::DELETE, &path, None).await?;
            match work_request::follow(client, &work, wait).await? {
                Outcome::Begun(work) => Outcome::print_begun(out, &work),
                Outcome::Done(id) => {
                    eprintln!("hako: virtual node pool {id} is deleted");
                    Ok(())
                }
            }
        }
    }
}

pub(crate) async fn run_nodes(client: &Client, out: Output, verb: NodeVerb) -> Result<(), Error> {
    let NodeVerb::List { pool, cluster } = verb;
    let pool = resolve(client, &pool, cluster.as_deref()).await?;
    out.list(&client.list(&format!("{BASE}/{pool}/virtualNodes"), &[]).await?, NODE)
}

async fn finish(client: &Client, out: Output, outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Begun(work) => Outcome::print_begun(out, &work),
        Outcome::Done(id) => show(client, out, &id).await,
    }
}

async fn show(client: &Client, out: Output, id: &str) -> Result<(), Error> {
    out.one(&client.get(&format!("{BASE}/{id}")).await?, COLUMNS)
}

/// Pools that are not deleted, of one cluster or of all.
async fn list(client: &Client, cluster: Option<&str>) -> Result<Vec<Value>, Error> {
    let mut query = vec![("compartmentId", client.compartment())];
    let cluster = match cluster {
        Some(cluster) => Some(cluster::resolve(client, cluster).await?),
        None => None,
    };
    query.extend(cluster.as_deref().map(|id| ("clusterId", id)));
    let mut pools = client.list(BASE, &query).await?;
    pools.retain(|pool| pool["lifecycleState"] != "DELETED");
    Ok(pools)
}

async fn resolve(client: &Client, pool: &str, cluster: Option<&str>) -> Result<String, Error> {
    if pool.is_empty() {
        let text = "the pool's name is empty; `hako virtual-node-pool list` shows those there are";
        return Err(Error::Misused(text.into()));
    }
    if pool.starts_with("ocid1.") {
        return client::segment("virtual node pool", pool).map(str::to_owned);
    }
    let mut found = list(client, cluster).await?;
    found.retain(|one| one["displayName"] == pool);
    cluster::pick(&found, "virtual node pool", pool, "hako virtual-node-pool list")
}

fn label(text: &str) -> Result<Value, Error> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| Error::Misused(format!("--label {text:?}: write it as key=value")))?;
    Ok(json!({"key": key, "value": value}))
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
