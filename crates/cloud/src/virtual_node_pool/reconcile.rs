//! What a pool's nodes need next. Pure: observe and act are in `act.rs`.

use super::LifecycleState;
use domain::VirtualNodeId;
use std::{cmp::Reverse, collections::BTreeMap};

/// How long a node may take to become ready before its pool needs attention.
pub(crate) const READY_WITHIN_MS: i64 = 60_000;
/// How long a work request waits for nodes that do not become ready before it fails.
pub(crate) const GIVE_UP_AFTER_MS: i64 = 600_000;

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
    /// How long pods get to leave a node, if nothing else was said for it.
    pub(crate) drain_ms: i64,
    /// Nodes that are not as the pool is now are replaced, in steps of this.
    pub(crate) cycling: Option<Steps>,
    /// Why hosts can't do what the pool is for, though its nodes are well.
    pub(crate) short: Option<Shortage>,
}

/// How many nodes are replaced at a time. Invariant: not both 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    /// Nodes beyond the pool's size.
    pub(crate) surge: usize,
    /// Nodes of the pool's size that may be missing.
    pub(crate) unavailable: usize,
}

/// Why hosts are short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// No host offers the pool's shape.
    Shape(String),
    /// Pods wait for room.
    Room(String),
}

impl Shortage {
    fn why(&self) -> &str {
        match self {
            Self::Shape(why) | Self::Room(why) => why,
        }
    }
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
    /// How long its pods get to leave it, if that was said for it.
    pub(crate) drain_ms: Option<i64>,
    /// It goes even if pods are left on it then; else it stays.
    pub(crate) forced: bool,
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
    /// It was made for a pool of other labels, taints, shape or version.
    pub(crate) outdated: bool,
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
    /// Its pods did not leave in time: it stays after all.
    Restore(VirtualNodeId),
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
            | Self::Restore(id)
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
    let wanted = observed.wanted();
    let (leaving, staying): (Vec<&NodeView>, Vec<&NodeView>) =
        observed.nodes.iter().partition(|node| node.state == LifecycleState::Deleting);
    let mut actions = Vec::new();
    for node in &leaving {
        actions.extend(let_go(node, observed, now_ms));
    }
    let outdated: Vec<&NodeView> = staying.iter().copied().filter(|node| observed.is_outdated(node)).collect();
    let (going, target) = match observed.cycling {
        Some(steps) if !outdated.is_empty() && wanted > 0 => cycle(&staying, &outdated, leaving.len(), wanted, steps),
        cycling => {
            // The last nodes of a replacement leave: the bound still holds.
            let leave = leaving.iter().filter(|node| observed.is_outdated(node)).count();
            let most = cycling.map_or(wanted, |steps| (wanted + steps.surge).saturating_sub(leave));
            (least_missed(&staying, staying.len().saturating_sub(wanted)), wanted.min(most))
        }
    };
    actions.extend(going.iter().map(|id| Action::Retire(id.clone())));
    actions.extend(additions(observed, &staying, target));
    let kept: Vec<&NodeView> = staying.iter().copied().filter(|node| !going.contains(&node.id)).collect();
    for node in &kept {
        actions.extend(keep(node, observed.is_outdated(node), now_ms));
    }
    let steady = staying.len() == wanted && leaving.is_empty() && outdated.is_empty();
    actions.extend(conclude(observed, steady, ailing(observed, &kept, now_ms), now_ms));
    actions
}

impl Observed {
    fn wanted(&self) -> usize {
        if self.state == LifecycleState::Deleting { 0 } else { self.size as usize }
    }

    /// True for a node that cycling replaces.
    fn is_outdated(&self, node: &NodeView) -> bool {
        let other = node.object.as_ref().is_some_and(|object| object.outdated) || !self.places.contains(&node.place);
        self.cycling.is_some() && other
    }
}

/// One step of a replacement: who goes now, and how many nodes there are to be beside those that leave.
/// Nodes that leave count as additional ones until they are gone, and are not available.
fn cycle(
    staying: &[&NodeView],
    outdated: &[&NodeView],
    leaving: usize,
    wanted: usize,
    steps: Steps,
) -> (Vec<VirtualNodeId>, usize) {
    let is_ready = |node: &&&NodeView| node.object.as_ref().is_some_and(|object| object.ready.is_ok());
    let ready = staying.iter().filter(is_ready).count();
    let spare = ready.saturating_sub(wanted.saturating_sub(steps.unavailable));
    // Who is not ready is missed by nobody; but where none is ready the nodes may be better than their reports.
    let unready = outdated.iter().filter(|node| !is_ready(node)).count();
    let surplus = staying.len().saturating_sub(wanted + steps.surge);
    let pace = (steps.surge + steps.unavailable + surplus).saturating_sub(leaving);
    let going = least_missed(outdated, (unready + spare).min(pace));
    let fresh = staying.len() - outdated.len();
    let room = (wanted + steps.surge).saturating_sub(staying.len() + leaving);
    let more = room.min(wanted.saturating_sub(fresh));
    (going, staying.len() + more)
}

/// Takes a leaving node's next step.
fn let_go(node: &NodeView, observed: &Observed, now_ms: i64) -> Vec<Action> {
    let id = node.id.clone();
    let within = node.drain_ms.unwrap_or(observed.drain_ms);
    let late = within == 0 || now_ms - node.state_ms > within;
    let stays = !node.forced && within > 0 && observed.state != LifecycleState::Deleting;
    match &node.object {
        None => vec![Action::Remove(id)],
        Some(object) if object.pods == 0 && object.cordoned => vec![Action::Remove(id)],
        Some(_) if late && stays => vec![Action::Restore(id)],
        Some(_) if late => vec![Action::Remove(id)],
        Some(object) if !object.cordoned => vec![Action::Cordon(id.clone()), Action::Evict(id)],
        Some(_) => vec![Action::Evict(id)],
    }
}

/// Nodes in an availability domain, and in one fault domain of it: what nodes are spread over.
#[derive(Debug, Default)]
struct Crowds<'a> {
    domains: BTreeMap<&'a str, usize>,
    places: BTreeMap<&'a (String, String), usize>,
}

impl<'a> Crowds<'a> {
    fn of(nodes: impl Iterator<Item = &'a NodeView>) -> Self {
        let mut crowds = Self::default();
        nodes.for_each(|node| crowds.add(&node.place));
        crowds
    }

    fn add(&mut self, place: &'a (String, String)) {
        *self.domains.entry(&place.0).or_default() += 1;
        *self.places.entry(place).or_default() += 1;
    }

    fn remove(&mut self, place: &'a (String, String)) {
        self.domains.entry(&place.0).and_modify(|count| *count -= 1);
        self.places.entry(place).and_modify(|count| *count -= 1);
    }

    fn at(&self, place: &(String, String)) -> (usize, usize) {
        let domain = self.domains.get(place.0.as_str()).copied().unwrap_or(0);
        (domain, self.places.get(place).copied().unwrap_or(0))
    }
}

/// The nodes that are missed least: without a Node first, then not ready; then those where there are most, so that the
/// rest stay spread, then with the fewest pods, then the youngest.
fn least_missed(nodes: &[&NodeView], count: usize) -> Vec<VirtualNodeId> {
    if count >= nodes.len() {
        return nodes.iter().map(|node| node.id.clone()).collect();
    }
    let mut crowds = Crowds::of(nodes.iter().copied());
    let mut left: Vec<&NodeView> = nodes.to_vec();
    let mut going = Vec::new();
    while going.len() < count {
        let worth = |node: &NodeView| match &node.object {
            None => (0, Reverse((0, 0)), 0),
            Some(object) if object.ready.is_err() => (1, Reverse((0, 0)), object.pods),
            Some(object) => (2, Reverse(crowds.at(&node.place)), object.pods),
        };
        // Of equals the first is found, and the youngest are last.
        let least = left.iter().enumerate().rev().min_by_key(|(_, node)| worth(node)).map(|(index, _)| index);
        let Some(index) = least else { break };
        let node = left.remove(index);
        crowds.remove(&node.place);
        going.push(node.id.clone());
    }
    going
}

/// New nodes, each where there are fewest: in the availability domain, then in its fault domain.
fn additions(observed: &Observed, staying: &[&NodeView], wanted: usize) -> Vec<Action> {
    let mut crowds = Crowds::of(staying.iter().copied().filter(|node| !observed.is_outdated(node)));
    let mut actions = Vec::new();
    for _ in staying.len()..wanted {
        let Some(place) = observed.places.iter().min_by_key(|place| crowds.at(place)) else { break };
        crowds.add(place);
        actions.push(Action::Add(place.0.clone(), place.1.clone()));
    }
    actions
}

/// Keeps a node as it should be, and says how it is. One that will be replaced keeps the labels and taints that it has.
fn keep(node: &NodeView, outdated: bool, now_ms: i64) -> Vec<Action> {
    let id = node.id.clone();
    let Some(object) = &node.object else { return vec![Action::Register(id)] };
    let mut actions = Vec::new();
    if object.stale && !outdated {
        actions.push(Action::Retemplate(id.clone()));
    }
    let (state, details) = match &object.ready {
        Ok(()) => (LifecycleState::Active, None),
        Err(_) if is_new(node, now_ms) => (LifecycleState::Creating, None),
        Err(why) => (LifecycleState::NeedsAttention, Some(why.clone())),
    };
    if (state, &details) != (node.state, &node.details) {
        actions.push(Action::Mark(id, state, details, object.address.clone()));
    }
    actions
}

fn is_new(node: &NodeView, now_ms: i64) -> bool {
    node.state == LifecycleState::Creating && now_ms - node.state_ms < READY_WITHIN_MS
}

/// How the nodes that stay are.
enum Health {
    /// All are ready.
    Well,
    /// Some are not ready yet, as new ones are.
    Soon,
    /// One is not ready, and why.
    Ill(String),
}

fn ailing(observed: &Observed, kept: &[&NodeView], now_ms: i64) -> Health {
    let mut health = Health::Well;
    for node in kept {
        let why = match &node.object {
            None => format!("virtual node {} is being made", node.name),
            Some(ObjectView { ready: Err(why), .. }) => format!("virtual node {}: {why}", node.name),
            // One that will be replaced keeps its version.
            Some(object) if object.behind && !observed.is_outdated(node) => {
                format!("virtual node {} is being upgraded", node.name)
            }
            Some(_) => continue,
        };
        // One that was there before is missed at once; in a pool that is being changed a moment later.
        let busy = matches!(observed.state, LifecycleState::Creating | LifecycleState::Updating);
        if !is_new(node, now_ms) && !(busy && now_ms - observed.state_ms < READY_WITHIN_MS) {
            return Health::Ill(why);
        }
        health = Health::Soon;
    }
    health
}

/// Says how the pool is, and ends its work when there is nothing left to wait for.
fn conclude(observed: &Observed, steady: bool, health: Health, now_ms: i64) -> Vec<Action> {
    use LifecycleState::{Active, Creating, Deleted, Deleting, NeedsAttention, Updating};
    let is = |state, details: Option<&str>| observed.state == state && observed.details.as_deref() == details;
    let mark = |state, details: Option<&str>| {
        (!is(state, details)).then(|| Action::MarkPool(state, details.map(str::to_owned)))
    };
    match (observed.state, health) {
        (Deleted, _) => vec![],
        (Deleting, _) if observed.nodes.is_empty() => vec![Action::Finish(Ok(())), Action::MarkPool(Deleted, None)],
        (Deleting, _) => vec![],
        (_, Health::Well) if steady => {
            let outcome = match &observed.short {
                Some(Shortage::Shape(why)) if observed.state == Creating => Err(why.clone()),
                _ => Ok(()),
            };
            let finish = observed.works.then_some(Action::Finish(outcome));
            let mark = match &observed.short {
                None => mark(Active, None),
                Some(short) => mark(NeedsAttention, Some(short.why())),
            };
            finish.into_iter().chain(mark).collect()
        }
        // It was ill, or short of hosts, and is on its way again.
        (NeedsAttention | Active, Health::Well | Health::Soon) => mark(Updating, None).into_iter().collect(),
        (_, Health::Well | Health::Soon) => vec![],
        (_, Health::Ill(why)) => {
            let late = observed.state == NeedsAttention && now_ms - observed.state_ms > GIVE_UP_AFTER_MS;
            let finish = (late && observed.works).then(|| Action::Finish(Err(why.clone())));
            finish.into_iter().chain(mark(NeedsAttention, Some(&why))).collect()
        }
    }
}

#[cfg(test)]
mod tests;
