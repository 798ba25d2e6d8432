//! What the scheduler reads, what wakes it, and how pods are bound: all of one run in one commit.

use super::{Decision, NAME, PodInfo, Snapshot, schedule};
use crate::act::{Fault, act, key as key_of};
use crate::action::{Action, Note, Plan, Target, reference};
use crate::key::{Key, Keys};
use crate::view;
use crate::world::{Memory, World, nodes};
use domain::{BILLED_SIZE_EVENT, Bill, SHAPE_LABEL};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube_store::{Cluster, Event, PutError, Txn};
use reconcile::Next;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// Pause before pods that did not fit are tried again after others were placed: company may have come.
const AGAIN: Duration = Duration::from_millis(100);

pub(crate) fn keys(memory: &Memory, event: &Event, out: &mut Keys<'_>) {
    if &*event.object.key.resource != "pods" {
        return out.whole();
    }
    let Some(pod) = memory.pods.pod(&event.object) else { return };
    let bound = view::node_name(&pod.pod).is_some();
    // Room is made by pods that go or end, company by those that come or change their labels; a change of an unbound
    // pod may be what it waited for.
    let company = event.previous.as_ref().is_none_or(|before| before.meta.labels != event.object.meta.labels);
    let room = event.is_deletion() || view::is_terminal(&pod.pod);
    let wakes = if bound { room || company } else { !event.is_deletion() };
    if wakes {
        out.whole();
    }
}

/// Whether the pod waits for this scheduler.
fn is_pending(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    view::node_name(pod).is_none()
        && view::is_active(pod)
        && spec.scheduler_name.as_deref().unwrap_or(NAME) == NAME
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let all: Vec<Arc<PodInfo>> =
        cluster.list("pods", None).1.iter().filter_map(|object| memory.pods.pod(object)).collect();
    let (pending, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|pod| is_pending(&pod.pod));
    if pending.is_empty() {
        return Ok(Next::Settled);
    }
    let bound = others.into_iter().filter(|pod| view::node_name(&pod.pod).is_some() && !view::is_terminal(&pod.pod));
    let pods: HashMap<String, Arc<Pod>> =
        pending.iter().map(|pod| (view::uid(&pod.pod.metadata).to_owned(), Arc::clone(&pod.pod))).collect();
    let snapshot = Snapshot::new(&nodes(&cluster, &memory), bound.collect(), pending, namespaces(&cluster));
    let mut bindings = Vec::new();
    let mut plan = Plan::default();
    for Decision { pod: target, node } in schedule(snapshot) {
        let Some(pod) = pods.get(&target.uid) else { continue };
        match node {
            Ok(node) => bindings.push((target, node)),
            Err(why) => explain(pod, &target, &why, world.now(), &mut plan),
        }
    }
    let (placed, waiting) = (bindings.len(), pods.len() - bindings.len());
    for Bound { target, node, bill } in bind(&cluster, bindings, world.now()).await? {
        let Some(pod) = pods.get(&target.uid) else { continue };
        let name = format!("{}/{}", target.namespace, target.name);
        let message = format!("Successfully assigned {name} to {node}");
        world.recorder.record(cluster.id(), note(pod, "Normal", "Scheduled", message));
        if let Some(bill) = bill {
            world.recorder.record(cluster.id(), note(pod, "Normal", BILLED_SIZE_EVENT, bill.message()));
        }
    }
    act(world, &cluster, plan).await?;
    Ok(if placed > 0 && waiting > 0 { Next::After(AGAIN) } else { Next::Settled })
}

fn namespaces(cluster: &Cluster) -> BTreeMap<String, BTreeMap<String, String>> {
    let all = cluster.list("namespaces", None).1;
    all.iter().map(|object| (object.key.name.to_string(), object.meta.labels.clone())).collect()
}

fn note(pod: &Pod, kind: &'static str, reason: &'static str, message: String) -> Note {
    Note { about: reference("v1", "Pod", &pod.metadata), kind, reason, message, source: NAME }
}

/// Says why the pod has no node, once per reason.
fn explain(pod: &Pod, target: &Target, why: &str, now: Timestamp, plan: &mut Plan) {
    let current = view::pod_condition(pod, "PodScheduled");
    if current.is_some_and(|c| c.status == "False" && c.message.as_deref() == Some(why)) {
        return;
    }
    let since = current.filter(|c| c.status == "False").and_then(|c| c.last_transition_time.clone());
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why,
        "lastTransitionTime": since.unwrap_or_else(|| view::time(now)),
    });
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions: Vec<Value> = all.filter(|c| c.type_ != "PodScheduled").map(|c| json!(c)).collect();
    conditions.push(condition);
    plan.patch(target, Some(json!({ "status": { "conditions": conditions } })));
    plan.actions.push(Action::Record(note(pod, "Warning", "FailedScheduling", why.to_owned())));
}

/// A pod that got its node.
struct Bound {
    target: Target,
    node: String,
    /// What it is billed as, if the node is a virtual one.
    bill: Option<Bill>,
}

/// Binds all pods that still wait, and returns those.
async fn bind(cluster: &Cluster, bindings: Vec<(Target, String)>, now: Timestamp) -> Result<Vec<Bound>, Fault> {
    if bindings.is_empty() {
        return Ok(Vec::new());
    }
    let bound = cluster.write(move |txn| {
        let mut bound = Vec::with_capacity(bindings.len());
        for (target, node) in bindings {
            if let Some(bill) = bind_one(txn, &target, &node, now)? {
                bound.push(Bound { target, node, bill });
            }
        }
        Ok::<_, PutError>(bound)
    });
    Ok(bound.await?)
}

/// `None` if the pod is gone, ending, or bound already; else what it is billed as, which is on it from now on.
fn bind_one(txn: &mut Txn<'_>, target: &Target, node: &str, now: Timestamp) -> Result<Option<Option<Bill>>, PutError> {
    let key = key_of(target);
    let waits = |object: &Arc<kube_store::Object>| *object.meta.uid == *target.uid && object.meta.deletion.is_none();
    let Some(object) = txn.get(&key).filter(waits) else { return Ok(None) };
    let mut value = object.value();
    let free = value["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let Some(found) = txn.get(&kube_store::Key::new("nodes", "", node)).filter(|_| free) else { return Ok(None) };
    value["spec"]["nodeName"] = json!(node);
    let bill = found.meta.labels.get(SHAPE_LABEL).and_then(|shape| Bill::of(&value, shape));
    for (name, text) in bill.iter().flat_map(Bill::annotations) {
        value["metadata"]["annotations"][name] = json!(text);
    }
    let condition = json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": view::time_text(now) });
    match value["status"]["conditions"].as_array_mut() {
        Some(conditions) => {
            conditions.retain(|condition| condition["type"] != "PodScheduled");
            conditions.push(condition);
        }
        None => value["status"]["conditions"] = json!([condition]),
    }
    txn.put(key, value)?;
    Ok(Some(bill))
}
