//! `pods/x/eviction`: deletion that disruption budgets may forbid for now.
//! Source: upstream's `pkg/registry/core/pod/storage/eviction.go`.

use crate::{
    actor::Actor,
    meta,
    selector::LabelSelector,
    verb::{
        commit,
        delete::{DeleteOptions, remove},
        put_status,
    },
};
use jiff::Timestamp;
use kube_store::{Cluster, Object, Txn};
use problem::kube::Status;
use serde_json::{Value, json};
use std::sync::Arc;

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// Evicts a pod.
///
/// # Errors
/// 404; 429 if a budget does not allow it now; 500 if more than one budget selects the pod.
pub(crate) async fn evict(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    options: &DeleteOptions,
    _actor: &Actor,
) -> Result<(), Status> {
    let kind = kube_schema::by_plural("", "v1", "pods").expect("pods are built in");
    let key = meta::key(kind, namespace, pod);
    let wanted = options.clone();
    commit(cluster, options.dry_run, move |txn| {
        let now = Timestamp::now();
        let stored = txn.get(&key).ok_or_else(|| Status::not_found("pods", &key.name))?;
        let value = stored.value();
        if !leaves_no_gap(&stored, &value) {
            spend(txn, &stored, &value, now)?;
        }
        remove(txn, kind, &key, &wanted, now).map(drop)
    })
    .await
}

/// A pod that does not serve anyway may go.
fn leaves_no_gap(pod: &Object, value: &Value) -> bool {
    pod.meta.deletion.is_some() || matches!(value["status"]["phase"].as_str(), Some("Pending" | "Succeeded" | "Failed"))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn budgets(txn: &Txn<'_>, pod: &Object) -> Vec<(Arc<Object>, Value)> {
    let all = txn.list(BUDGETS, Some(&pod.key.namespace)).into_iter();
    all.map(|budget| (Arc::clone(&budget), budget.value()))
        .filter(|(_, value)| {
            LabelSelector::from_value(&value["spec"]["selector"]).is_some_and(|s| s.matches(&pod.meta.labels))
        })
        .collect()
}

/// Takes one allowed disruption from the pod's budget.
fn spend(txn: &mut Txn<'_>, pod: &Object, value: &Value, now: Timestamp) -> Result<(), Status> {
    let mut found = budgets(txn, pod);
    if found.len() > 1 {
        return Err(Status::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let Some((stored, mut budget)) = found.pop() else { return Ok(()) };
    let name = &*stored.key.name;
    let number = |at: &str| budget["status"][at].as_i64().unwrap_or(0);
    let refuse = |cause: String| {
        let refused =
            Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10);
        Err(refused.with_cause("DisruptionBudget", &cause, ""))
    };
    if !is_ready(value) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        let healthy_enough = number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0;
        if always || healthy_enough {
            return Ok(());
        }
    }
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if number("observedGeneration") < generation {
        return refuse(format!("The disruption budget {name} is still being processed by the server."));
    }
    let allowed = number("disruptionsAllowed");
    if allowed <= 0 {
        let (needed, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        return refuse(format!("The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"));
    }
    budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
    if !budget["status"]["disruptedPods"].is_object() {
        budget["status"]["disruptedPods"] = json!({});
    }
    budget["status"]["disruptedPods"][&*pod.key.name] = json!(meta::rfc3339(now));
    let kind = kube_schema::by_resource(BUDGETS).expect("budgets are built in");
    txn.put(stored.key.clone(), budget).map(drop).map_err(|error| put_status(kind, name, &error))
}
