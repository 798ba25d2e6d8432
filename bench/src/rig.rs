//! The cloud that is measured, and what every benchmark does with it.

use crate::{
    client::{Connection, Gateway},
    process::Cpu,
    token::{Bearer, Signer},
};
use anyhow::{Context, ensure};
use localcloud::{Cloud, Options, Tenant};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Clusters, in the cloud API.
pub(crate) const CLUSTERS: &str = "/20180222/clusters";
/// Seconds after which an idle cluster leaves memory here: short, so that this can be waited for.
pub(crate) const IDLE_SECONDS: i64 = 30;
/// Longest wait for a work request.
const WAIT: Duration = Duration::from_secs(300);
/// Pause between two looks at a work request.
const LOOK: Duration = Duration::from_millis(20);

/// A running cloud and its first tenant.
pub(crate) struct Rig {
    /// The cloud itself. Its methods block.
    pub(crate) cloud: Arc<Cloud>,
    /// The door.
    pub(crate) gateway: Gateway,
    tenant: Tenant,
    signer: Arc<Signer>,
    /// `host:port` of the image registry.
    pub(crate) registry: String,
    quick: bool,
}

impl Rig {
    /// Starts a cloud in a state directory of its own.
    pub(crate) async fn up(state: Option<PathBuf>, binaries: Option<PathBuf>, quick: bool) -> anyhow::Result<Self> {
        let state = state.unwrap_or_else(|| std::env::temp_dir().join(format!("hako-bench-{}", std::process::id())));
        let mut control = toml::Table::new();
        control.insert("idle_seconds".into(), IDLE_SECONDS.into());
        let mut options = Options::new(state).release().with("control", control);
        if let Some(binaries) = binaries {
            options.binaries = binaries.canonicalize().context("there is no such directory of programs")?;
        }
        let cloud = blocking(move || Cloud::up(options)).await?;
        let cloud = Arc::new(cloud);
        let tenant = {
            let cloud = Arc::clone(&cloud);
            blocking(move || cloud.default_tenant()).await?
        };
        let environment = cloud.env();
        let variable = |name: &str| environment.get(name).cloned().with_context(|| format!("the cloud has no {name}"));
        let gateway = Gateway::new(&variable("HAKO_ENDPOINT")?, Path::new(&variable("HAKO_CA")?))?;
        let (signer, registry) = (Signer::new(&tenant)?, variable("HAKO_REGISTRY")?);
        Ok(Self { cloud, gateway, tenant, signer, registry, quick })
    }

    /// Stops the cloud and removes it.
    pub(crate) async fn purge(self) -> anyhow::Result<()> {
        let cloud = Arc::clone(&self.cloud);
        blocking(move || cloud.purge()).await
    }

    /// Where the cloud is.
    pub(crate) fn state(&self) -> &Path {
        self.cloud.state()
    }

    /// `count`, or a tenth of it for a quick run.
    pub(crate) fn count(&self, count: usize) -> usize {
        if self.quick { count.div_ceil(10) } else { count }
    }

    /// `seconds`, or a tenth of it for a quick run.
    pub(crate) fn seconds(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) / if self.quick { 10 } else { 1 }
    }

    /// A credential for the cloud API or for one cluster.
    pub(crate) fn bearer(&self, cluster: Option<&str>) -> Bearer {
        Bearer::new(&self.signer, cluster)
    }

    /// The tenancy, which is its root compartment too.
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant.tenancy_id
    }

    /// A connection to the cloud API.
    pub(crate) async fn cloud_api(&self) -> anyhow::Result<Connection> {
        self.gateway.connect(&self.bearer(None)).await
    }

    /// CPU time of the servers so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::now(&self.cloud)
    }

    /// Stops control, starts it, and waits until it is ready.
    pub(crate) async fn restart_control(&self) -> anyhow::Result<()> {
        let cloud = Arc::clone(&self.cloud);
        blocking(move || {
            cloud.stop("control")?;
            cloud.start("control")?;
            cloud.wait_ready("control").map(drop)
        })
        .await
    }

    /// Makes a cluster and gives its OCID, which the work request names.
    pub(crate) async fn create_cluster(&self, api: &mut Connection, name: &str) -> anyhow::Result<String> {
        let work = self.begin_cluster(api, name).await?;
        let work = api.get(&format!("/20180222/workRequests/{work}")).await?.json()?;
        identifier(&work)
    }

    /// Asks for a cluster and gives the OCID of the work request.
    pub(crate) async fn begin_cluster(&self, api: &mut Connection, name: &str) -> anyhow::Result<String> {
        let body = json!({
            "name": name, "compartmentId": self.tenant.tenancy_id, "type": "ENHANCED_CLUSTER",
            "options": {"kubernetesNetworkConfig": {}},
        });
        work_request(api, CLUSTERS, &body).await
    }

    /// Makes a pool of virtual nodes and waits until it is there.
    pub(crate) async fn create_pool(&self, api: &mut Connection, cluster: &str, size: u32) -> anyhow::Result<()> {
        let body = json!({
            "compartmentId": self.tenant.tenancy_id, "clusterId": cluster, "displayName": "pool", "size": size,
            "initialVirtualNodeLabels": [], "taints": [],
        });
        let work = work_request(api, "/20180222/virtualNodePools", &body).await?;
        self.finish(api, &work).await.map(drop)
    }

    /// Waits until a work request has succeeded, and gives it.
    pub(crate) async fn finish(&self, api: &mut Connection, work: &str) -> anyhow::Result<Value> {
        let path = format!("/20180222/workRequests/{work}");
        let ended = async {
            loop {
                let work = api.get(&path).await?.json()?;
                match work["status"].as_str().unwrap_or_default() {
                    "SUCCEEDED" => return Ok(work),
                    "ACCEPTED" | "IN_PROGRESS" => tokio::time::sleep(LOOK).await,
                    other => anyhow::bail!("a work request is {other}: {work}"),
                }
            }
        };
        tokio::time::timeout(WAIT, ended).await.context("a work request does not end")?
    }

    /// Deletes clusters and waits until all are gone.
    pub(crate) async fn delete_clusters(&self, clusters: &[String]) -> anyhow::Result<()> {
        let mut api = self.cloud_api().await?;
        let mut works = Vec::new();
        for cluster in clusters {
            let answer = api.delete(&format!("{CLUSTERS}/{cluster}")).await?;
            works.push(header(&answer.headers)?);
        }
        for work in works {
            self.finish(&mut api, &work).await?;
        }
        Ok(())
    }
}

async fn work_request(api: &mut Connection, path: &str, body: &Value) -> anyhow::Result<String> {
    header(&api.post(path, body.to_string()).await?.headers)
}

fn header(headers: &http::HeaderMap) -> anyhow::Result<String> {
    let work = headers.get("opc-work-request-id").context("the answer names no work request")?;
    Ok(work.to_str()?.to_owned())
}

/// The resource that a work request is about.
fn identifier(work: &Value) -> anyhow::Result<String> {
    let id = work["resources"][0]["identifier"].as_str().unwrap_or_default();
    ensure!(!id.is_empty(), "a work request names no resource: {work}");
    Ok(id.to_owned())
}

/// Runs what blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
