//! Company: affinity and anti-affinity between pods, and spreading over topology domains.

use super::filter::{Reason, node_fits, tolerates};
use super::snapshot::{NodeInfo, PodInfo, Snapshot, required_anti_affinity};
use crate::selector::{self, Labels};
use crate::view;
use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, PodSpec, TopologySpreadConstraint};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Values of one topology key.
type Domains = BTreeSet<String>;

/// What the pods that are already placed mean for one pending pod. Made once per decision, and cheap for a pod without
/// such rules.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// Key, and the domains where all of the wanted company is; `None` if the first of its kind may go anywhere.
    near: Vec<(String, Option<Domains>)>,
    /// Key, and the domains to stay out of.
    away: Vec<(String, Domains)>,
    /// The same, asked for by pods that are there.
    unwelcome: Vec<(String, Domains)>,
    spread: Vec<Spread>,
    /// Weight by domain of a key, from preferred terms.
    wishes: Vec<(String, HashMap<String, i64>)>,
}

#[derive(Debug)]
struct Spread {
    key: String,
    max_skew: usize,
    counts: BTreeMap<String, usize>,
    least: usize,
    matches_itself: bool,
    hard: bool,
}

impl Terms {
    pub(super) fn new(snapshot: &Snapshot, pod: &PodInfo) -> Self {
        let mut terms = Self::default();
        if let Some(spec) = &pod.pod.spec {
            if let Some(affinity) = &spec.affinity {
                terms.read_affinity(snapshot, pod, affinity);
            }
            for constraint in spec.topology_spread_constraints.iter().flatten() {
                terms.spread.push(Spread::new(snapshot, pod, spec, constraint));
            }
        }
        if snapshot.any_anti_affinity {
            terms.read_unwelcome(snapshot, pod);
        }
        terms
    }

    fn read_affinity(&mut self, snapshot: &Snapshot, pod: &PodInfo, affinity: &Affinity) {
        let near = affinity.pod_affinity.clone().unwrap_or_default();
        let required = near.required_during_scheduling_ignored_during_execution.unwrap_or_default();
        // Upstream wants pods that fit all terms at once; the first of a group that wants itself may start it.
        let fits_all = |other: &PodInfo| required.iter().all(|term| chooses(snapshot, pod, term, other));
        for term in &required {
            let domains = domains(snapshot, &term.topology_key, |other| fits_all(other));
            let first = domains.is_empty() && fits_all(pod);
            self.near.push((term.topology_key.clone(), (!first).then_some(domains)));
        }
        for term in required_anti_affinity(&pod.pod) {
            let domains = domains(snapshot, &term.topology_key, |other| chooses(snapshot, pod, term, other));
            self.away.push((term.topology_key.clone(), domains));
        }
        let anti = affinity.pod_anti_affinity.clone().unwrap_or_default();
        let wanted = near.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
        let unwanted = anti.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
        let wishes = wanted.iter().map(|wish| (wish, 1)).chain(unwanted.iter().map(|wish| (wish, -1)));
        for (wish, sign) in wishes {
            let term = &wish.pod_affinity_term;
            let mut weights = HashMap::new();
            for node in &snapshot.nodes {
                let Some(domain) = node.labels.get(&term.topology_key) else { continue };
                let company = node.pods.iter().filter(|other| chooses(snapshot, pod, term, other)).count();
                let weight = sign * i64::from(wish.weight) * i64::try_from(company).unwrap_or(0);
                *weights.entry(domain.clone()).or_default() += weight;
            }
            self.wishes.push((term.topology_key.clone(), weights));
        }
    }

    fn read_unwelcome(&mut self, snapshot: &Snapshot, pod: &PodInfo) {
        let mut by_key: BTreeMap<&str, Domains> = BTreeMap::new();
        for node in &snapshot.nodes {
            for other in node.pods.iter().filter(|other| other.has_anti_affinity) {
                for term in required_anti_affinity(&other.pod) {
                    let domain = node.labels.get(&term.topology_key);
                    if let Some(domain) = domain.filter(|_| chooses(snapshot, other, term, pod)) {
                        by_key.entry(&term.topology_key).or_default().insert(domain.clone());
                    }
                }
            }
        }
        self.unwelcome = by_key.into_iter().map(|(key, domains)| (key.to_owned(), domains)).collect();
    }

    /// Why this node's company does not suit the pod, or the pod not its company.
    pub(super) fn refuses(&self, node: &NodeInfo) -> Option<Reason> {
        let within =
            |key: &String, domains: &Domains| node.labels.get(key).is_some_and(|value| domains.contains(value));
        let near = |(key, domains): &(String, Option<Domains>)| match domains {
            Some(domains) => within(key, domains),
            None => node.labels.contains_key(key),
        };
        if let Some(spread) = self.spread.iter().filter(|spread| spread.hard).find_map(|spread| spread.refuses(node)) {
            return Some(spread);
        }
        if !self.near.iter().all(near) {
            return Some(Reason::PodAffinity);
        }
        if self.away.iter().any(|(key, domains)| within(key, domains)) {
            return Some(Reason::PodAntiAffinity);
        }
        let unwelcome = self.unwelcome.iter().any(|(key, domains)| within(key, domains));
        unwelcome.then_some(Reason::ExistingAntiAffinity)
    }

    /// How much the pod would like this node's company: higher is better.
    pub(super) fn liking(&self, node: &NodeInfo) -> i64 {
        let wish = |(key, weights): &(String, HashMap<String, i64>)| Some(*weights.get(node.labels.get(key)?)?);
        self.wishes.iter().filter_map(wish).sum()
    }

    /// How crowded the node's domains are by the soft spread constraints: lower is better.
    pub(super) fn crowding(&self, node: &NodeInfo) -> i64 {
        let soft = self.spread.iter().filter(|spread| !spread.hard);
        soft.map(|spread| {
            let count = node.labels.get(&spread.key).and_then(|domain| spread.counts.get(domain));
            i64::try_from(count.copied().unwrap_or(0)).unwrap_or(i64::MAX)
        })
        .sum()
    }
}

impl Spread {
    fn new(snapshot: &Snapshot, pod: &PodInfo, spec: &PodSpec, constraint: &TopologySpreadConstraint) -> Self {
        let mut selector = constraint.label_selector.clone().unwrap_or_default();
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = pod.labels().get(key) {
                selector.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
            }
        }
        let chosen = |labels: &Labels| constraint.label_selector.is_some() && selector::fits(&selector, labels);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for node in snapshot.nodes.iter().filter(|node| eligible(spec, constraint, node)) {
            let Some(domain) = node.labels.get(&constraint.topology_key) else { continue };
            let peers = node.pods.iter().filter(|other| other.namespace() == pod.namespace());
            let count = peers.filter(|other| chosen(other.labels()) && view::is_active(&other.pod)).count();
            *counts.entry(domain.clone()).or_default() += count;
        }
        let domains = i32::try_from(counts.len()).unwrap_or(i32::MAX);
        let enough = domains >= constraint.min_domains.unwrap_or(1);
        Self {
            key: constraint.topology_key.clone(),
            max_skew: usize::try_from(constraint.max_skew).unwrap_or(1),
            least: if enough { counts.values().copied().min().unwrap_or(0) } else { 0 },
            matches_itself: chosen(pod.labels()),
            counts,
            hard: constraint.when_unsatisfiable == "DoNotSchedule",
        }
    }

    fn refuses(&self, node: &NodeInfo) -> Option<Reason> {
        let Some(domain) = node.labels.get(&self.key) else { return Some(Reason::SpreadLabel) };
        let count = self.counts.get(domain).copied().unwrap_or(0) + usize::from(self.matches_itself);
        (count > self.least + self.max_skew).then_some(Reason::Spread)
    }
}

/// Whether a node counts for a spread constraint.
fn eligible(spec: &PodSpec, constraint: &TopologySpreadConstraint, node: &NodeInfo) -> bool {
    let by_affinity = constraint.node_affinity_policy.as_deref() == Some("Ignore") || node_fits(spec, node);
    let keeps_away = |effect: &str| effect == "NoSchedule" || effect == "NoExecute";
    let by_taints = constraint.node_taints_policy.as_deref() != Some("Honor")
        || node.taints.iter().filter(|taint| keeps_away(&taint.effect)).all(|taint| tolerates(spec, taint));
    by_affinity && by_taints
}

/// The domains of a key in which some placed pod is chosen.
fn domains(snapshot: &Snapshot, key: &str, chosen: impl Fn(&PodInfo) -> bool) -> Domains {
    let with_company = snapshot.nodes.iter().filter(|node| node.pods.iter().any(|other| chosen(other)));
    with_company.filter_map(|node| node.labels.get(key).cloned()).collect()
}

/// Whether a term of `pod` chooses `other`.
fn chooses(snapshot: &Snapshot, pod: &PodInfo, term: &PodAffinityTerm, other: &PodInfo) -> bool {
    let listed = term.namespaces.iter().flatten().any(|namespace| namespace == other.namespace());
    let by_label = term.namespace_selector.as_ref().is_some_and(|wanted| {
        let none = Labels::new();
        selector::fits(wanted, snapshot.namespaces.get(other.namespace()).unwrap_or(&none))
    });
    let own = term.namespaces.as_ref().is_none_or(Vec::is_empty)
        && term.namespace_selector.is_none()
        && pod.namespace() == other.namespace();
    let Some(wanted) = term.label_selector.as_ref().filter(|_| listed || by_label || own) else { return false };
    let equal = |key: &String| pod.labels().get(key) == other.labels().get(key);
    selector::fits(wanted, other.labels())
        && term.match_label_keys.iter().flatten().filter(|key| pod.labels().contains_key(*key)).all(equal)
        && term
            .mismatch_label_keys
            .iter()
            .flatten()
            .filter(|key| pod.labels().contains_key(*key))
            .all(|key| !equal(key))
}
