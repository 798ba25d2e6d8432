//! Clusters.

use crate::{
    args::ClusterVerb,
    client::{self, Client},
    error::Error,
    kubeconfig,
    output::{Column, Output},
    work_request::{self, Outcome},
};
use reqwest::Method;
use serde_json::{Map, Value, json};

const BASE: &str = "/20180222/clusters";
const COLUMNS: &[Column] = &[
    Column("NAME", "/name"),
    Column("STATE", "/lifecycleState"),
    Column("TYPE", "/type"),
    Column("VERSION", "/kubernetesVersion"),
    Column("CREATED", "/metadata/timeCreated"),
    Column("ID", "/id"),
];

pub(crate) async fn run(client: &Client, out: Output, verb: ClusterVerb) -> Result<(), Error> {
    match verb {
        ClusterVerb::Create { name, kind, kubernetes_version, pods_cidr, services_cidr, wait } => {
            let network = object([("podsCidr", pods_cidr), ("servicesCidr", services_cidr)]);
            let mut body = object([("type", kind), ("kubernetesVersion", kubernetes_version)]);
            body.insert("name".into(), json!(name));
            body.insert("compartmentId".into(), json!(client.compartment()));
            body.insert("options".into(), json!({"kubernetesNetworkConfig": network}));
            let work = client.change(Method::POST, BASE, Some(&body.into())).await?;
            finish(client, out, work_request::follow(client, &work, wait).await?).await
        }
        ClusterVerb::List { name, lifecycle_state } => {
            let mut query = vec![("compartmentId", client.compartment())];
            query.extend(name.as_deref().map(|name| ("name", name)));
            query.extend(lifecycle_state.iter().map(|state| ("lifecycleState", state.as_str())));
            let mut clusters = client.list(BASE, &query).await?;
            if lifecycle_state.is_empty() {
                clusters.retain(|cluster| cluster["lifecycleState"] != "DELETED");
            }
            out.list(&clusters, COLUMNS)
        }
        ClusterVerb::Get { cluster } => show(client, out, &resolve(client, &cluster).await?).await,
        ClusterVerb::Update { cluster, name, kind, kubernetes_version, wait } => {
            let body = object([("name", name), ("type", kind), ("kubernetesVersion", kubernetes_version)]);
            if body.is_empty() {
                return Err(Error::Misused("nothing to change: give --name, --type or --kubernetes-version".into()));
            }
            let path = format!("{BASE}/{}", resolve(client, &cluster).await?);
            let work = client.change(Method::PUT, &path, Some(&body.into())).await?;
            finish(client, out, work_request::follow(client, &work, wait).await?).await
        }
        ClusterVerb::Delete { cluster, dry_run: true, .. } => would_delete(client, out, &cluster).await,
        ClusterVerb::Delete { cluster, dry_run: false, wait } => {
            let path = format!("{BASE}/{}", resolve(client, &cluster).await?);
            let work = client.change(Method::DELETE, &path, None).await?;
            match work_request::follow(client, &work, wait).await? {
                Outcome::Begun(work) => Outcome::print_begun(out, &work),
                Outcome::Done(id) => {
                    eprintln!("hako: cluster {id} is deleted");
                    Ok(())
                }
            }
        }
        ClusterVerb::CreateKubeconfig { cluster, file } => {
            let id = resolve(client, &cluster).await?;
            let details = json!({"tokenCommand": "hako"});
            let content = client.post_for_text(&format!("{BASE}/{id}/kubeconfig/content"), &details).await?;
            kubeconfig::merge(client, &content, file).await
        }
        ClusterVerb::GenerateToken { .. } => unreachable!("answered before a client is made"),
    }
}

/// An object of the values that were given.
fn object<const N: usize>(values: [(&str, Option<String>); N]) -> Map<String, Value> {
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
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

/// Says what a deletion would take with it.
async fn would_delete(client: &Client, out: Output, cluster: &str) -> Result<(), Error> {
    let id = resolve(client, cluster).await?;
    let query = [("compartmentId", client.compartment()), ("clusterId", id.as_str())];
    let mut pools = client.list("/20180222/virtualNodePools", &query).await?;
    pools.retain(|pool| pool["lifecycleState"] != "DELETED");
    let nodes: u64 = pools.iter().filter_map(|pool| pool["size"].as_u64()).sum();
    eprintln!(
        "hako: nothing is deleted (--dry-run); without it this cluster goes, with all its objects and pods, its {} \
         virtual node pools and their {nodes} virtual nodes",
        pools.len()
    );
    show(client, out, &id).await
}

/// What a cluster is now: `None` if it is deleted, or not the caller's.
pub(crate) async fn present(client: &Client, id: &str) -> Result<Option<Value>, Error> {
    match client.get(&format!("{BASE}/{}", client::segment("cluster", id)?)).await {
        Ok(cluster) => Ok(Some(cluster).filter(|cluster| cluster["lifecycleState"] != "DELETED")),
        Err(Error::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The OCID of a cluster that is given by its name or its OCID.
pub(crate) async fn resolve(client: &Client, cluster: &str) -> Result<String, Error> {
    if cluster.is_empty() {
        return Err(Error::Misused("the cluster's name is empty; `hako cluster list` shows those there are".into()));
    }
    if cluster.starts_with("ocid1.") {
        return client::segment("cluster", cluster).map(str::to_owned);
    }
    let query = [("compartmentId", client.compartment()), ("name", cluster)];
    let mut found = client.list(BASE, &query).await?;
    found.retain(|one| one["lifecycleState"] != "DELETED" && one["name"] == cluster);
    pick(&found, "cluster", cluster, "hako cluster list")
}

/// The OCID of the one resource that was found by name.
pub(crate) fn pick(found: &[Value], kind: &str, name: &str, list: &str) -> Result<String, Error> {
    match found {
        [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
        [] => Err(Error::Failed(format!("there is no {kind} named {name:?}; `{list}` shows those there are"))),
        several => {
            let ids: Vec<&str> = several.iter().filter_map(|one| one["id"].as_str()).collect();
            Err(Error::Failed(format!("several {kind}s are named {name:?}; give the OCID of one: {}", ids.join(", "))))
        }
    }
}
