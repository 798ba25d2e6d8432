//! What a pool's nodes need next. Pure: observe and act are in `act.rs`.

use super::LifecycleState;
use domain::VirtualNodeId;

/// How long a node may take to become ready before its pool needs attention.
pub(crate) const READY_WITHIN_MS: i64 = 60_000;
/// How long a work request waits for nodes that do not become ready before it fails.
pub(crate) const GIVE_UP_AFTER_MS: i64 = 600_000;
/// How long pods get to leave a node before they are deleted with it. Source: OKE's default eviction grace, an hour, is
/// for pods that refuse; pods of virtual nodes have no machine to save.
pub(crate) const DRAIN_WITHIN_MS: i64 = 300_000;

/// A pool as it is.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) state: LifecycleState,
    pub(crate) details: Option<String>,
    pub(crate) size: u32,
    pub(crate) state_ms: i64,
    pub(crate) works: bool,
    pub(crate) nodes: Vec<NodeView>,
    /// Where nodes may be: pairs of availability and fault domain.
    pub(crate) places: Vec<(String, String)>,
}

/// A virtual node as it is.
#[derive(Debug, Clone)]
pub(crate) struct NodeView {
    pub(crate) id: VirtualNodeId,
    pub(crate) name: String,
    pub(crate) state: LifecycleState,
    pub(crate) details: Option<String>,
    pub(crate) state_ms: i64,
    pub(crate) place: (String, String),
    /// Its Node; `None` if there is none.
    pub(crate) object: Option<ObjectView>,
}

/// A Node as it is.
#[derive(Debug, Clone)]
pub(crate) struct ObjectView {
    pub(crate) ready: Result<(), String>,
    pub(crate) cordoned: bool,
    /// Pods on it that have not ended.
    pub(crate) pods: usize,
    /// Its labels, taints or version are not the pool's, or the key's generation not the cluster's.
    pub(crate) stale: bool,
    /// It still reports another version than the pool's.
    pub(crate) behind: bool,
    pub(crate) address: Option<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make a node in this availability and fault domain.
    Add(String, String),
    /// Make its Node.
    Register(VirtualNodeId),
    /// Give its Node the pool's labels, taints and version.
    Retemplate(VirtualNodeId),
    /// Decide that it goes.
    Retire(VirtualNodeId),
    /// Keep new pods off it.
    Cordon(VirtualNodeId),
    /// Ask its pods to leave.
    Evict(VirtualNodeId),
    /// Delete its Node and forget it.
    Remove(VirtualNodeId),
    /// Say how it is: state, details, address.
    Mark(VirtualNodeId, LifecycleState, Option<String>, Option<String>),
    /// Say how the pool is.
    MarkPool(LifecycleState, Option<String>),
    /// End the work request: well, or with a reason.
    Finish(Result<(), String>),
}

impl Action {
    /// The node that it is about, if that has been made.
    pub(crate) fn node(&self) -> Option<&VirtualNodeId> {
        match self {
            Self::Register(id)
            | Self::Retemplate(id)
            | Self::Retire(id)
            | Self::Cordon(id)
            | Self::Evict(id)
            | Self::Remove(id)
            | Self::Mark(id, ..) => Some(id),
            Self::Add(..) | Self::MarkPool(..) | Self::Finish(_) => None,
        }
    }

    /// True for what comes last, when all nodes have been seen to.
    pub(crate) fn is_about_the_pool(&self) -> bool {
        matches!(self, Self::MarkPool(..) | Self::Finish(_))
    }
}

/// The steps to take now. A pool that is as it was asked for yields nothing.
pub(crate) fn diff(observed: &Observed, now_ms: i64) -> Vec<Action> {
    if observed.state == LifecycleState::Deleted {
        return Vec::new();
    }
    let deleting = observed.state == LifecycleState::Deleting;
    let wanted = if deleting { 0 } else { observed.size as usize };
    let (leaving, staying): (Vec<&NodeView>, Vec<&NodeView>) =
        observed.nodes.iter().partition(|node| node.state == LifecycleState::Deleting);
    let mut actions = Vec::new();
    for node in &leaving {
        actions.extend(let_go(node, now_ms));
    }
    let surplus = staying.len().saturating_sub(wanted);
    let going = least_missed(&staying, surplus);
    actions.extend(going.iter().map(|id| Action::Retire(id.clone())));
    actions.extend(additions(observed, &staying, wanted));
    let kept = || staying.iter().filter(|node| !going.contains(&node.id));
    for node in kept() {
        actions.extend(keep(node, now_ms));
    }
    let steady = surplus == 0 && staying.len() == wanted && leaving.is_empty();
    let unready = kept().find_map(|node| match &node.object {
        None => Some(format!("virtual node {} is being made", node.name)),
        Some(object) => match &object.ready {
            Err(why) => Some(format!("virtual node {}: {why}", node.name)),
            Ok(()) if object.behind => Some(format!("virtual node {} is being upgraded", node.name)),
            Ok(()) => None,
        },
    });
    actions.extend(conclude(observed, steady, unready, now_ms));
    actions
}

/// Takes a leaving node's next step.
fn let_go(node: &NodeView, now_ms: i64) -> Vec<Action> {
    let id = node.id.clone();
    match &node.object {
        None => vec![Action::Remove(id)],
        Some(object) if object.pods == 0 && object.cordoned => vec![Action::Remove(id)],
        Some(_) if now_ms - node.state_ms > DRAIN_WITHIN_MS => vec![Action::Remove(id)],
        Some(object) if !object.cordoned => vec![Action::Cordon(id.clone()), Action::Evict(id)],
        Some(_) => vec![Action::Evict(id)],
    }
}

/// The nodes that are missed least: without a Node first, then not ready, then with the fewest pods, then the youngest.
fn least_missed(nodes: &[&NodeView], count: usize) -> Vec<VirtualNodeId> {
    let worth = |node: &NodeView| match &node.object {
        None => (0, 0),
        Some(object) if object.ready.is_err() => (1, object.pods),
        Some(object) => (2, object.pods),
    };
    let mut order: Vec<&&NodeView> = nodes.iter().rev().collect();
    order.sort_by_key(|node| worth(node));
    order.into_iter().take(count).map(|node| node.id.clone()).collect()
}

/// New nodes, each where there are fewest.
fn additions(observed: &Observed, staying: &[&NodeView], wanted: usize) -> Vec<Action> {
    let mut counts: Vec<(usize, &(String, String))> = observed
        .places
        .iter()
        .map(|place| (staying.iter().filter(|node| node.place == *place).count(), place))
        .collect();
    let mut actions = Vec::new();
    for _ in staying.len()..wanted {
        let Some(least) = counts.iter_mut().min_by_key(|(count, _)| *count) else { break };
        least.0 += 1;
        actions.push(Action::Add(least.1.0.clone(), least.1.1.clone()));
    }
    actions
}

/// Keeps a node as it should be, and says how it is.
fn keep(node: &NodeView, now_ms: i64) -> Vec<Action> {
    let id = node.id.clone();
    let Some(object) = &node.object else { return vec![Action::Register(id)] };
    let mut actions = Vec::new();
    if object.stale {
        actions.push(Action::Retemplate(id.clone()));
    }
    let (state, details) = match &object.ready {
        Ok(()) => (LifecycleState::Active, None),
        Err(_) if node.state == LifecycleState::Creating && now_ms - node.state_ms < READY_WITHIN_MS => {
            (LifecycleState::Creating, None)
        }
        Err(why) => (LifecycleState::NeedsAttention, Some(why.clone())),
    };
    if (state, &details) != (node.state, &node.details) {
        actions.push(Action::Mark(id, state, details, object.address.clone()));
    }
    actions
}

/// Says how the pool is, and ends its work when there is nothing left to wait for.
fn conclude(observed: &Observed, steady: bool, unready: Option<String>, now_ms: i64) -> Vec<Action> {
    use LifecycleState::{Active, Creating, Deleted, Deleting, NeedsAttention, Updating};
    let waited = now_ms - observed.state_ms;
    let busy = matches!(observed.state, Creating | Updating);
    match (observed.state, unready) {
        (Deleted, _) => vec![],
        (Deleting, _) if observed.nodes.is_empty() => vec![Action::Finish(Ok(())), Action::MarkPool(Deleted, None)],
        (Deleting, _) => vec![],
        (_, None) if steady => {
            let finish = observed.works.then_some(Action::Finish(Ok(())));
            let mark = (observed.state != Active).then_some(Action::MarkPool(Active, None));
            finish.into_iter().chain(mark).collect()
        }
        (_, None) => vec![],
        (_, Some(_)) if busy && waited < READY_WITHIN_MS => vec![],
        (_, Some(why)) => {
            let late = observed.state == NeedsAttention && waited > GIVE_UP_AFTER_MS && observed.works;
            let finish = late.then(|| Action::Finish(Err(why.clone())));
            let told = observed.state == NeedsAttention && observed.details.as_ref() == Some(&why);
            let mark = (!told).then_some(Action::MarkPool(NeedsAttention, Some(why)));
            finish.into_iter().chain(mark).collect()
        }
    }
}

#[cfg(test)]
mod tests;
