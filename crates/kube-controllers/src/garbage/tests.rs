use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Objects by name: owners (with `!` if they block), finalizers, whether deletion has begun.
#[derive(Clone, Default, Debug)]
struct World(BTreeMap<String, (Vec<(String, bool)>, Vec<String>, bool)>);

impl World {
    fn new(objects: &[(&str, &[&str])]) -> Self {
        let owner = |text: &&str| (text.trim_end_matches('!').to_owned(), text.ends_with('!'));
        let object = |(name, owners): &(&str, &[&str])| {
            ((*name).to_owned(), (owners.iter().map(owner).collect(), Vec::new(), false))
        };
        Self(objects.iter().map(object).collect())
    }

    fn delete(&mut self, name: &str, propagation: Propagation) {
        let Some((_, finalizers, deleting)) = self.0.get_mut(name) else { return };
        if !*deleting {
            match propagation {
                Propagation::Background => {}
                Propagation::Foreground => finalizers.push(FOREGROUND.into()),
                Propagation::Orphan => finalizers.push(ORPHAN.into()),
            }
        }
        *deleting = true;
        self.sweep(name);
    }

    fn sweep(&mut self, name: &str) {
        if self.0.get(name).is_some_and(|(_, finalizers, deleting)| *deleting && finalizers.is_empty()) {
            self.0.remove(name);
        }
    }

    fn entries(&self, name: &str) -> Vec<Value> {
        self.0[name]
            .0
            .iter()
            .map(|(uid, blocks)| json!({"uid": uid, "name": uid, "blockOwnerDeletion": blocks}))
            .collect()
    }

    fn observe(&self, name: &str) -> Observed {
        let target = |name: &str| Target {
            resource: "x".into(),
            namespace: "ns".into(),
            name: name.into(),
            uid: name.into(),
            revision: None,
        };
        let waits = |(_, finalizers, deleting): &(Vec<_>, Vec<String>, bool)| {
            *deleting && finalizers.iter().any(|f| f == FOREGROUND)
        };
        let (owners, finalizers, deleting) = &self.0[name];
        let state = |uid: &String| match self.0.get(uid) {
            None => OwnerState::Missing,
            Some(owner) if waits(owner) => OwnerState::Waiting,
            Some(_) => OwnerState::Solid,
        };
        let states: Vec<_> = owners.iter().map(|(uid, _)| state(uid)).collect();
        let dependents = self.0.iter().filter(|(_, (owners, ..))| owners.iter().any(|(uid, _)| uid == name));
        Observed {
            target: target(name),
            deleting: *deleting,
            finalizers: finalizers.clone(),
            owners: self.entries(name).into_iter().zip(states).map(|(entry, state)| Owner { entry, state }).collect(),
            dependents: dependents
                .map(|(other, object)| Dependent {
                    target: target(other),
                    owners: self.entries(other),
                    deleting: object.2,
                    waiting: waits(object),
                })
                .collect(),
        }
    }

    /// Collects until nothing is left to do; false if that never happens.
    fn collect(&mut self, reverse: bool) -> bool {
        for _ in 0..100 {
            let mut names: Vec<String> = self.0.keys().cloned().collect();
            if reverse {
                names.reverse();
            }
            let mut idle = true;
            for name in names {
                if !self.0.contains_key(&name) {
                    continue;
                }
                for action in diff(&self.observe(&name)).actions {
                    idle = false;
                    match action {
                        Action::Delete { target, propagation, .. } => self.delete(&target.name, propagation),
                        Action::Patch { target, patch } => {
                            let Some(object) = self.0.get_mut(&target.name) else { continue };
                            if let Some(owners) = patch["metadata"]["ownerReferences"].as_array() {
                                object.0 = owners
                                    .iter()
                                    .map(|o| (o["uid"].as_str().unwrap().into(), o["blockOwnerDeletion"] == true))
                                    .collect();
                            }
                            if let Some(finalizers) = patch["metadata"]["finalizers"].as_array() {
                                object.1 = finalizers.iter().map(|f| f.as_str().unwrap().to_owned()).collect();
                            }
                            self.sweep(&target.name);
                        }
                        _ => unreachable!(),
                    }
                }
            }
            if idle {
                return true;
            }
        }
        false
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn tree() -> World {
    World::new(&[("d", &[]), ("r", &["d!"]), ("p", &["r!"]), ("q", &["r!"]), ("other", &[])])
}

#[test]
fn background_deletion_takes_all_below() {
    let mut world = tree();
    world.delete("d", Propagation::Background);
    assert!(world.collect(false));
    assert_eq!(world.names(), ["other"]);
}

#[test]
fn foreground_deletion_takes_the_leaves_first() {
    let mut world = tree();
    world.delete("d", Propagation::Foreground);
    assert_eq!(diff(&world.observe("d")).actions, Vec::new(), "r blocks");
    assert!(matches!(
        &diff(&world.observe("r")).actions[..],
        [Action::Delete { propagation: Propagation::Foreground, .. }]
    ));
    assert!(world.collect(false));
    assert_eq!(world.names(), ["other"]);
}

#[test]
fn foreground_deletion_does_not_wait_for_those_that_do_not_block() {
    let mut world = World::new(&[("d", &[]), ("x", &["d"])]);
    world.0.get_mut("x").unwrap().1.push("mine/own".into());
    world.delete("d", Propagation::Foreground);
    assert!(world.collect(false));
    assert_eq!(world.names(), ["x"]);
    assert!(world.0["x"].2);
}

#[test]
fn orphans_lose_the_reference_and_stay() {
    let mut world = tree();
    world.delete("r", Propagation::Orphan);
    assert!(world.collect(false));
    assert_eq!(world.names(), ["d", "other", "p", "q"]);
    assert!(world.0["p"].0.is_empty());
}

#[test]
fn one_living_owner_is_enough() {
    let mut world = World::new(&[("a", &[]), ("b", &[]), ("x", &["a!", "b"])]);
    world.delete("a", Propagation::Background);
    assert!(world.collect(false));
    assert_eq!(world.names(), ["b", "x"]);
    assert_eq!(world.0["x"].0, [("b".to_owned(), false)]);
}

#[test]
fn an_owner_that_never_was_counts_as_gone() {
    let mut world = World::new(&[("x", &["ghost"])]);
    assert!(world.collect(false));
    assert_eq!(world.names(), Vec::<&str>::new());
}

#[test]
fn a_circle_of_waiting_owners_is_broken() {
    let mut world = World::new(&[("a", &["c!"]), ("b", &["a!"]), ("c", &["b!"])]);
    world.delete("a", Propagation::Foreground);
    assert!(world.collect(false), "{world:?}");
    assert_eq!(world.names(), Vec::<&str>::new());
}

proptest! {
    #[test]
    fn collecting_settles_and_leaves_no_dangling_owner(
        edges in prop::collection::vec((0..6usize, 0..6usize, any::<bool>()), 0..8),
        deletions in prop::collection::vec((0..6usize, 0..3usize), 0..4),
        reverse in any::<bool>(),
    ) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut world = World::new(&names.map(|name| (name, &[][..])));
        for (of, to, blocks) in edges.into_iter().filter(|(of, to, _)| of > to) {
            world.0.get_mut(names[of]).unwrap().0.push((names[to].into(), blocks));
        }
        for (which, how) in deletions {
            world.delete(names[which], [Propagation::Background, Propagation::Foreground, Propagation::Orphan][how]);
            prop_assert!(world.collect(reverse));
        }
        for (owners, _, deleting) in world.0.values() {
            prop_assert!(!deleting);
            prop_assert!(owners.iter().all(|(uid, _)| world.0.contains_key(uid)));
        }
    }
}
