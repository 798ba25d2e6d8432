//! New credentials for a cluster: the key that signs its service-account tokens, and the authority of its host name. New and old ones are good side by side
//! until the rotation is completed, by its caller or when the time has come that was set at its start.

use super::{Cluster, ClusterState, Rotation, authority, operation, store, wire};
use crate::{
    Cloud, Error,
    access::Verb,
    error::invalid,
    rest::{self, Caller},
    virtual_node_pool,
    worker::Key,
};
use domain::WorkRequestId;
use jiff::{Span, SpanRelativeTo};
use kube_api::KeyGenerations;
use problem::oci;
use wire::StartCredentialRotationDetails;

/// Longest time until old credentials end. Source: `autoCompletionDelayDuration`, 14 days.
const MAX_DELAY_MS: i64 = 14 * 24 * 3600 * 1000;

/// Begins a rotation.
pub(super) async fn start(cloud: &Cloud, caller: &Caller, id: &str, body: &[u8]) -> Result<WorkRequestId, Error> {
    let details: StartCredentialRotationDetails = rest::body(body)?;
    let mut txn = cloud.db.begin().await?;
    let mut cluster = operation::lock(&mut txn, caller, id, Verb::Manage).await?;
    let delay = delay_ms(&details.auto_completion_delay_duration)?;
    caller.check_etag(&cluster.etag())?;
    cluster.require_active()?;
    if cluster.rotation != Rotation::Completed {
        let message = "a credential rotation is going on; complete it first (completeCredentialRotation)";
        return Err(oci::Error::incorrect_state(message).into());
    }
    cluster.rotation = Rotation::Issuing;
    cluster.rotation_due_ms = Some(cloud.now_ms() + delay);
    let message = format!("issuing new credentials of cluster {:?}", cluster.name);
    operation::begin(cloud, caller.principal.user_id.as_str(), txn, cluster, &message).await
}

/// Begins to end the old credentials.
pub(super) async fn complete(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequestId, Error> {
    let mut txn = cloud.db.begin().await?;
    let cluster = operation::lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&cluster.etag())?;
    cluster.require_active()?;
    if cluster.rotation != Rotation::Waiting {
        let message = "no credential rotation waits for its completion; start one first (startCredentialRotation)";
        return Err(oci::Error::incorrect_state(message).into());
    }
    begin_to_retire(cloud, caller.principal.user_id.as_str(), txn, cluster).await
}

async fn begin_to_retire(
    cloud: &Cloud,
    by: &str,
    txn: sqlx::Transaction<'_, sqlx::Postgres>,
    mut cluster: Cluster,
) -> Result<WorkRequestId, Error> {
    cluster.rotation = Rotation::Retiring;
    cluster.rotation_due_ms = None;
    let message = format!("retiring old credentials of cluster {:?}", cluster.name);
    operation::begin(cloud, by, txn, cluster, &message).await
}

/// Begins to end the old credentials, as the time that was set for it has come.
pub(super) async fn expire(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let mut txn = cloud.db.begin().await?;
    let found = store::lock(&mut txn, &cluster.tenancy_id, cluster.id.as_str()).await?;
    let still = |now: &Cluster| now.state == ClusterState::Active && now.rotation == Rotation::Waiting;
    let Some(cluster) = found.filter(still) else { return Ok(()) };
    // Who started it also meant this.
    let by = cluster.updated.as_ref().unwrap_or(&cluster.created).by.clone();
    begin_to_retire(cloud, &by, txn, cluster).await.map(drop)
}

/// Lets new credentials hold beside the old ones. Safe to repeat.
pub(super) async fn issue(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let keys = KeyGenerations { current: cluster.keys.oldest + 1, oldest: cluster.keys.oldest };
    step(cloud, cluster, (Rotation::Issuing, Rotation::Waiting), keys).await
}

/// Ends the old credentials. Safe to repeat.
pub(super) async fn retire(cloud: &Cloud, cluster: &Cluster) -> Result<(), Error> {
    let keys = KeyGenerations { current: cluster.keys.current, oldest: cluster.keys.current };
    step(cloud, cluster, (Rotation::Retiring, Rotation::Completed), keys).await
}

async fn step(
    cloud: &Cloud,
    cluster: &Cluster,
    (from, to): (Rotation, Rotation),
    keys: KeyGenerations,
) -> Result<(), Error> {
    let mut txn = cloud.db.begin().await?;
    if !store::rotate(&mut txn, &cluster.id, (from, to), keys).await? {
        return Ok(());
    }
    authority::retire(&mut txn, &cluster.id, keys.oldest).await?;
    // Nodes tell the virtual-kubelets, which give running pods new tokens.
    let pools = virtual_node_pool::store::follow_cluster(&mut txn, &cluster.id, cloud.now_ms()).await?;
    txn.commit().await?;
    cloud.directory.learn(&Cluster { keys, rotation: to, ..cluster.clone() });
    pools.into_iter().for_each(|pool| cloud.wake(Key::Pool(cluster.id.clone(), pool)));
    Ok(())
}

/// Reads a duration in ISO 8601, as `P5D`.
fn delay_ms(text: &str) -> Result<i64, Error> {
    let span: Option<Span> = text.parse().ok();
    let length = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let ms = length.and_then(|length| i64::try_from(length.as_millis()).ok()).unwrap_or(-1);
    if text.starts_with('P') && (0..=MAX_DELAY_MS).contains(&ms) {
        return Ok(ms);
    }
    Err(invalid(format!(
        "autoCompletionDelayDuration: {text:?} must be a duration of ISO 8601 of up to 14 days, as P5D or PT12H"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_durations_of_up_to_two_weeks() {
        for (text, expect) in [("P5D", 432_000_000), ("PT12H", 43_200_000), ("PT0S", 0), ("P14D", MAX_DELAY_MS)] {
            assert_eq!(delay_ms(text).unwrap(), expect, "{text}");
        }
        for text in ["", "5", "P15D", "P1M", "-P1D", "5 days", "p5d"] {
            assert!(delay_ms(text).is_err(), "{text}");
        }
    }
}
