//! Clusters.

use crate::{
    args::{Extra, Listing, Removal, Target, Wait},
    client::{self, Client},
    error::Error,
    kubeconfig,
    output::{Column, Output},
    request::Body,
    resource::{Kind, Scope},
    vcn,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Clusters, for what all resources have in common.
pub(crate) const KIND: Kind = Kind {
    noun: "cluster",
    command: "hako cluster",
    path: "/20180222/clusters",
    name: "name",
    scope: Scope::Compartment,
    columns: &[
        Column("NAME", "/name"),
        Column("STATE", "/lifecycleState"),
        Column("TYPE", "/type"),
        Column("VERSION", "/kubernetesVersion"),
        Column("CREATED", "/metadata/timeCreated"),
        Column("ID", "/id"),
    ],
    goes: "",
};
const ROTATION: &[Column] =
    &[Column("STATUS", "/status"), Column("COMPLETES BY ITSELF", "/timeAutoCompletionScheduled")];

/// What to do with clusters. A cluster is given by its name or its OCID.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Create a cluster
    Create {
        /// Name of the new cluster
        name: String,
        /// BASIC_CLUSTER or ENHANCED_CLUSTER; only the latter has virtual nodes [default: BASIC_CLUSTER]
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Kubernetes version, as `v1.36.0` [default: the newest]
        #[arg(long)]
        kubernetes_version: Option<String>,
        /// Network of the cluster [default: the compartment's own]
        #[arg(long, value_name = "NAME|OCID")]
        vcn: Option<String>,
        /// Range of pod addresses [default: 10.244.0.0/16]
        #[arg(long, value_name = "CIDR")]
        pods_cidr: Option<String>,
        /// Range of Service addresses [default: 10.96.0.0/16]
        #[arg(long, value_name = "CIDR")]
        services_cidr: Option<String>,
        #[command(flatten)]
        extra: Extra,
        #[command(flatten)]
        wait: Wait,
    },
    /// List clusters
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a cluster
    Get {
        #[command(flatten)]
        target: Target,
    },
    /// Show which Kubernetes versions there are
    Options,
    /// Change a cluster: name, version, or Basic to Enhanced
    Update {
        #[command(flatten)]
        target: Target,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// ENHANCED_CLUSTER; there is no way back
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Version to upgrade to
        #[arg(long)]
        kubernetes_version: Option<String>,
        #[command(flatten)]
        extra: Extra,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop everything that a cluster runs; its objects stay, and it costs nothing
    Pause {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        wait: Wait,
    },
    /// Let a paused cluster run again
    Resume {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        wait: Wait,
    },
    /// Issue new credentials of a cluster; the old ones hold until the rotation is completed
    StartCredentialRotation {
        #[command(flatten)]
        target: Target,
        /// When the old credentials end by themselves, as ISO 8601, up to 14 days
        #[arg(long, default_value = "P5D", value_name = "DURATION")]
        auto_completion_delay_duration: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// End the old credentials of a cluster
    CompleteCredentialRotation {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show how far a rotation of credentials is
    GetCredentialRotationStatus {
        #[command(flatten)]
        target: Target,
    },
    /// Delete a cluster and everything in it
    Delete {
        #[command(flatten)]
        removal: Removal,
        #[command(flatten)]
        wait: Wait,
    },
    /// Merge access to a cluster into a kubeconfig file
    CreateKubeconfig {
        #[command(flatten)]
        target: Target,
        /// File to merge into [default: the first of $KUBECONFIG, or ~/.kube/config]
        #[arg(long)]
        file: Option<PathBuf>,
        /// PUBLIC_ENDPOINT: the cloud's, with its CA; VCN_HOSTNAME: the cluster's own host name, with the cluster's own CA
        #[arg(long, default_value = "PUBLIC_ENDPOINT", value_name = "ENDPOINT")]
        kube_endpoint: String,
    },
    /// Print a token for kubectl (an ExecCredential), good for 5 minutes
    GenerateToken {
        /// OCID of the cluster
        #[arg(long)]
        cluster_id: String,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: ClusterVerb) -> Result<(), Error> {
    match verb {
        ClusterVerb::Create { name, kind, kubernetes_version, vcn, pods_cidr, services_cidr, extra, wait } => {
            let network = Body::default().set("podsCidr", pods_cidr).set("servicesCidr", services_cidr);
            let network = Some(network).filter(|network| !network.is_empty());
            let body = Body::default()
                .set("name", Some(name))
                .set("type", kind)
                .set("kubernetesVersion", kubernetes_version)
                .set("vcnId", vcn::KIND.find_if(client, vcn.as_deref()).await?)
                .set("options", network.map(|network| json!({"kubernetesNetworkConfig": network.json()})));
            KIND.create(client, out, (body, &extra), Some(wait)).await
        }
        ClusterVerb::List { listing } => KIND.list(client, out, &listing, &[]).await,
        ClusterVerb::Get { target } => KIND.get(client, out, &target).await,
        ClusterVerb::Options => options(client, out).await,
        ClusterVerb::Update { target, name, kind, kubernetes_version, extra, wait } => {
            let body = Body::default().set("name", name).set("type", kind).set("kubernetesVersion", kubernetes_version);
            KIND.update(client, out, &KIND.find(client, &target.target).await?, (body, &extra), Some(wait)).await
        }
        ClusterVerb::Pause { target, wait } => act(client, out, (&target, "pause"), None, wait).await,
        ClusterVerb::Resume { target, wait } => act(client, out, (&target, "resume"), None, wait).await,
        ClusterVerb::StartCredentialRotation { target, auto_completion_delay_duration, wait } => {
            let body = json!({"autoCompletionDelayDuration": auto_completion_delay_duration});
            act(client, out, (&target, "startCredentialRotation"), Some(&body), wait).await
        }
        ClusterVerb::CompleteCredentialRotation { target, wait } => {
            act(client, out, (&target, "completeCredentialRotation"), None, wait).await
        }
        ClusterVerb::GetCredentialRotationStatus { target } => {
            let path = KIND.path_of(&KIND.find(client, &target.target).await?);
            out.one(&client.get(&format!("{path}/credentialRotationStatus")).await?, ROTATION)
        }
        ClusterVerb::Delete { removal, wait } => delete(client, out, &removal, wait).await,
        ClusterVerb::CreateKubeconfig { target, file, kube_endpoint } => {
            let path = KIND.path_of(&KIND.find(client, &target.target).await?);
            let details = json!({"tokenCommand": "hako", "endpoint": kube_endpoint});
            let content = client.post_for_text(&format!("{path}/kubeconfig/content"), &details).await?;
            kubeconfig::merge(client, &content, file).await
        }
        ClusterVerb::GenerateToken { .. } => unreachable!("answered before a client is made"),
    }
}

async fn act(
    client: &Client,
    out: Output,
    (target, action): (&Target, &str),
    body: Option<&Value>,
    wait: Wait,
) -> Result<(), Error> {
    KIND.act(client, out, (&KIND.find(client, &target.target).await?, action), body, wait).await
}

async fn options(client: &Client, out: Output) -> Result<(), Error> {
    let query = [("compartmentId", client.compartment()?)];
    let options = client.get_with("/20180222/clusterOptions/all", &query).await?;
    match out.0 {
        crate::args::Format::Table => {
            let versions = options["kubernetesVersions"].as_array().into_iter().flatten();
            let rows: Vec<Value> = versions.map(|version| json!({"version": version})).collect();
            out.list(&rows, &[Column("KUBERNETES VERSION", "/version")])
        }
        _ => out.raw(&options),
    }
}

/// Deletes a cluster, having said what that takes with it.
async fn delete(client: &Client, out: Output, removal: &Removal, wait: Wait) -> Result<(), Error> {
    let id = KIND.find(client, &removal.target.target).await?;
    let goes = match removal.care.dry_run {
        true => goes(client, &id).await?,
        false => ", with all its objects, pods and nodes".to_owned(),
    };
    KIND.delete_found(client, out, (&id, &goes), removal.care, Some(wait)).await
}

async fn goes(client: &Client, id: &str) -> Result<String, Error> {
    let query = [("compartmentId", client.compartment()?), ("clusterId", id)];
    let mut pools = client.list("/20180222/virtualNodePools", &query).await?;
    pools.retain(|pool| pool["lifecycleState"] != "DELETED");
    let nodes: u64 = pools.iter().filter_map(|pool| pool["size"].as_u64()).sum();
    Ok(format!(
        ", with all its objects and pods, its {} virtual node pools and their {nodes} virtual nodes",
        pools.len()
    ))
}

/// What a cluster is now: `None` if it is deleted, or not the caller's.
pub(crate) async fn present(client: &Client, id: &str) -> Result<Option<Value>, Error> {
    match client.get(&KIND.path_of(client::segment("cluster", id)?)).await {
        Ok(cluster) => Ok(Some(cluster).filter(|cluster| cluster["lifecycleState"] != "DELETED")),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
