//! The step itself: scale in proportion, roll, recreate, tidy up.

use super::model::{Model, Set};
use super::{DESIRED_REPLICAS, MAX_REPLICAS, REVISION, REVISION_HISTORY, status};

/// Annotations that belong to the Deployment alone.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];
/// Longest list of past revisions kept on a set, in bytes.
const HISTORY_LENGTH: usize = 2000;

/// Decides everything for a Deployment that is not being deleted.
pub(super) fn step(model: &mut Model) {
    model.find_new_set();
    if model.spec.paused == Some(true) || was_resized(model) {
        number_new_set(model);
        scale(model);
        if model.spec.paused == Some(true) {
            clean_up(model);
        }
        model.status = status::calculate(model);
        return;
    }
    if model.is_rolling() {
        roll(model)
    } else {
        recreate(model)
    }
    status::after_rollout(model);
}

/// Whether the Deployment's size changed since its sets were sized.
fn was_resized(model: &Model) -> bool {
    let mut active = model.sets.iter().filter(|set| set.replicas > 0);
    active.any(|set| set.annotated(DESIRED_REPLICAS).is_some_and(|desired| desired != model.replicas))
}

/// Gives the new set, if it exists, its revision, the Deployment's annotations and `minReadySeconds`.
fn number_new_set(model: &mut Model) {
    let Some(index) = model.new else { return };
    let newest_old = model.old_sets().into_iter().map(|old| model.sets[old].revision()).max().unwrap_or(0);
    let created = model.sets[index].create.is_some();
    let copied: Vec<_> =
        model.meta.annotations.iter().flatten().filter(|(k, _)| !NOT_COPIED.contains(&k.as_str())).collect();
    let min_ready = model.spec.min_ready_seconds.unwrap_or(0);
    let set = &mut model.sets[index];
    set.annotations.extend(copied.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    set.min_ready = min_ready;
    renumber(set, newest_old + 1);
    let revision = set.annotations.get(REVISION).cloned();
    if created {
        let (desired, most) = (model.replicas, model.replicas + model.max_surge());
        set_sizes(&mut model.sets[index], desired, most);
    }
    if revision.as_deref() != crate::view::annotation(model.meta, REVISION) {
        model.revision = revision;
    }
    status::found_new_set(model);
}

fn set_sizes(set: &mut Set, desired: i32, most: i32) {
    set.annotations.insert(DESIRED_REPLICAS.into(), desired.to_string());
    set.annotations.insert(MAX_REPLICAS.into(), most.to_string());
}

/// Raises the set's revision. A set that had a lower one is being rolled back to: its earlier numbers are remembered.
fn renumber(set: &mut Set, revision: i64) {
    let before = set.revision();
    if before >= revision {
        return;
    }
    if let Some(old) = set.annotations.insert(REVISION.into(), revision.to_string()) {
        let history = set.annotations.entry(REVISION_HISTORY.into()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&old);
        while history.len() > HISTORY_LENGTH {
            let Some((_, rest)) = history.split_once(',') else { break };
            *history = rest.to_owned();
        }
    }
}

/// Makes sure that the new set exists.
fn ensure_new_set(model: &mut Model) -> usize {
    let index = match model.new {
        Some(index) => index,
        None => model.create_new_set(),
    };
    number_new_set(model);
    index
}

fn roll(model: &mut Model) {
    let index = ensure_new_set(model);
    let set = &model.sets[index];
    let wanted = if set.replicas > model.replicas { model.replicas } else { size_of_new(model, index) };
    let (current, creating) = (set.replicas, set.create.is_some());
    let scaled = wanted != current && model.scale(index, wanted);
    // As upstream: one direction per step, so that old pods go only after new ones are counted.
    if !scaled && !creating && !shrink_old_sets(model) && status::is_complete(model, &status::calculate(model)) {
        clean_up(model);
    }
}

/// How large the new set may be now: up to the surge, never beyond what is wanted.
fn size_of_new(model: &Model, index: usize) -> i32 {
    let current = model.sets[index].replicas;
    if !model.is_rolling() {
        return model.replicas;
    }
    let most = model.replicas + model.max_surge();
    let total = model.total();
    if total >= most { current } else { current + (most - total).min(model.replicas - current) }
}

/// Takes old pods away as far as enough others are available; pods that are not available go first.
fn shrink_old_sets(model: &mut Model) -> bool {
    let old = model.old_sets();
    if old.iter().map(|index| model.sets[*index].replicas).sum::<i32>() == 0 {
        return false;
    }
    let least = model.replicas - model.max_unavailable();
    let new_unavailable = model.new_set().map_or(0, |set| set.replicas - set.available);
    let most_down = model.total() - least - new_unavailable;
    if most_down <= 0 {
        return false;
    }
    let mut down = 0;
    for index in &old {
        let set = &model.sets[*index];
        let unhealthy = set.replicas - set.available;
        let step = (most_down - down).min(unhealthy);
        if set.replicas > 0 && step > 0 {
            down += step;
            let size = set.replicas - step;
            model.scale(*index, size);
        }
    }
    let mut spare = model.total_available() - least;
    for index in &old {
        let step = model.sets[*index].replicas.min(spare);
        if step > 0 {
            spare -= step;
            down += step;
            let size = model.sets[*index].replicas - step;
            model.scale(*index, size);
        }
    }
    down > 0
}

fn recreate(model: &mut Model) {
    number_new_set(model);
    let mut scaled = false;
    for index in model.old_sets() {
        scaled |= model.sets[index].replicas > 0 && model.scale(index, 0);
    }
    if scaled || model.old_pods_run() {
        return;
    }
    let index = ensure_new_set(model);
    let wanted = model.replicas;
    if !model.scale(index, wanted) && status::is_complete(model, &status::calculate(model)) {
        clean_up(model);
    }
}

/// Spreads a change of size over the sets: all of it to the only active one, else in proportion to their sizes.
fn scale(model: &mut Model) {
    let active: Vec<usize> = (0..model.sets.len()).filter(|index| model.sets[*index].replicas > 0).collect();
    let single = match active.as_slice() {
        [] => model.new.or_else(|| model.old_sets().last().copied()),
        [only] => Some(*only),
        _ => None,
    };
    if let Some(index) = single {
        let wanted = model.replicas;
        model.scale(index, wanted);
    } else if is_saturated(model) {
        let new = model.new;
        for index in active.into_iter().filter(|index| Some(*index) != new) {
            model.scale(index, 0);
        }
    } else if model.is_rolling() {
        scale_in_proportion(model, active);
    }
}

/// Whether the new set alone already serves everything that is wanted.
fn is_saturated(model: &Model) -> bool {
    let wanted = model.replicas;
    model.new_set().is_some_and(|set| {
        set.replicas == wanted && set.annotated(DESIRED_REPLICAS) == Some(wanted) && set.available == wanted
    })
}

fn scale_in_proportion(model: &mut Model, mut active: Vec<usize>) {
    let allowed = if model.replicas > 0 { model.replicas + model.max_surge() } else { 0 };
    let missing = allowed - model.total();
    // Larger sets first; among equals the newer when growing, the older when shrinking.
    active.sort_by_key(|index| {
        let set = &model.sets[*index];
        let age = i64::try_from(*index).unwrap_or(0);
        (-set.replicas, if missing > 0 { -age } else { age })
    });
    let mut added = 0;
    let mut sizes = Vec::new();
    for index in active {
        let set = &model.sets[index];
        let part = if missing == 0 { 0 } else { proportion(model, set, missing, added) };
        added += part;
        sizes.push((index, set.replicas + part));
    }
    if let Some(first) = sizes.first_mut().filter(|_| missing != 0) {
        first.1 = (first.1 + missing - added).max(0);
    }
    for (index, size) in sizes {
        model.scale(index, size);
    }
}

fn proportion(model: &Model, set: &Set, missing: i32, added: i32) -> i32 {
    if set.replicas == 0 || missing == added {
        return 0;
    }
    let part = if model.replicas == 0 {
        -set.replicas
    } else {
        let before = set.annotated(MAX_REPLICAS).unwrap_or(model.old_status.replicas.unwrap_or(0));
        let most = f64::from(model.replicas + model.max_surge());
        let size = (f64::from(set.replicas) * most / f64::from(before.max(1))).round();
        #[expect(clippy::cast_possible_truncation, reason = "sizes of sets are far below 2^31")]
        let size = size as i32;
        size - set.replicas
    };
    let allowed = missing - added;
    if missing > 0 { part.min(allowed) } else { part.max(allowed) }
}

/// Deletes the oldest empty sets beyond `revisionHistoryLimit`.
fn clean_up(model: &mut Model) {
    let limit = model.spec.revision_history_limit.unwrap_or(10);
    if limit == i32::MAX {
        return;
    }
    let mut old: Vec<usize> = model.old_sets().into_iter().filter(|index| !model.sets[*index].deleting).collect();
    old.sort_by_key(|index| model.sets[*index].revision());
    let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    for index in old.into_iter().take(excess) {
        let set = &mut model.sets[index];
        set.delete = set.replicas == 0 && set.status_replicas == 0 && set.observed;
    }
}
