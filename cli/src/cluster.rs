//! Clusters.

use crate::{
    args::ClusterVerb,
    client::Client,
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
        ClusterVerb::Delete { cluster, wait } => {
            let path = format!("{BASE}/{}", resolve(client, &cluster).await?);
            let work = client.change(Method::DELETE, &path, None).await?;
            match work_request::follow(client, &work, wait).await? {
                Outcome::Begun(work) => Outcome::print_begun(out, &work),
                Outcome::Done(_) => Ok(()),
            }
        }
        ClusterVerb::CreateKubeconfig { cluster, file } => {
            let id = resolve(client, &cluster).await?;
            let content = client.post_for_text(&format!("{BASE}/{id}/kubeconfig/content"), &json!({})).await?;
            kubeconfig::merge(client, &content, file)
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

/// The OCID of a cluster that is given by its name or its OCID.
pub(crate) async fn resolve(client: &Client, cluster: &str) -> Result<String, Error> {
    if cluster.starts_with("ocid1.") {
        return Ok(cluster.to_owned());
    }
    let query = [("compartmentId", client.compartment()), ("name", cluster)];
    let mut found = client.list(BASE, &query).await?;
    found.retain(|cluster| cluster["lifecycleState"] != "DELETED");
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
