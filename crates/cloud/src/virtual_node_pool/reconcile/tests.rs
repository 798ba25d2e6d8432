use super::*;
use proptest::prelude::*;

fn id(number: usize) -> VirtualNodeId {
    format!("ocid1.virtualnode.hako.local-1.n{number}").parse().unwrap()
}

const DRAIN_WITHIN_MS: i64 = 3_600_000;

/// Words: state letter (c a d n), then `-` (no Node), `u` (unready), `x` (cordoned), `s` (stale), `o` (outdated and
/// stale), `b` (behind), `m` (in a place that the pool left), `w` (drained within a minute), `k` (stays if pods are
/// left), a number of pods.
fn node(number: usize, word: &str) -> NodeView {
    let state = match &word[..1] {
        "c" => LifecycleState::Creating,
        "a" => LifecycleState::Active,
        "n" => LifecycleState::NeedsAttention,
        _ => LifecycleState::Deleting,
    };
    let object = (!word.contains('-')).then(|| ObjectView {
        ready: if word.contains('u') { Err("why".into()) } else { Ok(()) },
        cordoned: word.contains('x'),
        pods: word.chars().filter_map(|c| c.to_digit(10)).sum::<u32>() as usize,
        stale: word.contains('s') || word.contains('o'),
        outdated: word.contains('o'),
        behind: word.contains('b'),
        address: None,
    });
    let details = (state == LifecycleState::NeedsAttention).then(|| "why".to_owned());
    let fault = if word.contains('m') { "F9".to_owned() } else { format!("F{}", number % 2) };
    let drain_ms = word.contains('w').then_some(60_000);
    let forced = !word.contains('k');
    let (id, name, place) = (id(number), format!("n{number}"), ("AD".to_owned(), fault));
    NodeView { id, name, state, details, state_ms: 0, place, drain_ms, forced, object }
}

/// As `node`, where a closure has that name.
fn new_node(number: usize, word: &str) -> NodeView {
    node(number, word)
}

fn observed(state: LifecycleState, size: u32, nodes: &[&str]) -> Observed {
    let places = vec![("AD".to_owned(), "F0".to_owned()), ("AD".to_owned(), "F1".to_owned())];
    let nodes = nodes.iter().enumerate().map(|(number, word)| node(number, word)).collect();
    let works = !matches!(state, LifecycleState::Active);
    let drain_ms = DRAIN_WITHIN_MS;
    Observed { state, details: None, size, state_ms: 0, works, nodes, places, drain_ms, cycling: None, short: None }
}

#[track_caller]
fn check(state: LifecycleState, size: u32, nodes: &[&str], now_ms: i64, expect: &[&str]) {
    assert_eq!(told(&observed(state, size, nodes), now_ms), expect);
}

fn told(observed: &Observed, now_ms: i64) -> Vec<String> {
    let short = |action: &Action| format!("{action:?}").replace("ocid1.virtualnode.hako.local-1.", "");
    diff(observed, now_ms).iter().map(short).collect()
}

#[track_caller]
fn check_cycle(size: u32, (surge, unavailable): (usize, usize), nodes: &[&str], expect: &[&str]) {
    let cycling = Some(Steps { surge, unavailable });
    assert_eq!(told(&Observed { cycling, ..observed(LifecycleState::Updating, size, nodes) }, 1), expect);
}

#[test]
fn a_new_pool_spreads_its_nodes_over_fault_domains() {
    let adds = ["Add(\"AD\", \"F0\")", "Add(\"AD\", \"F1\")", "Add(\"AD\", \"F0\")"];
    check(LifecycleState::Creating, 3, &[], 1, &adds);
}

#[test]
fn nodes_are_spread_over_availability_domains_first() {
    let mut pool = observed(LifecycleState::Creating, 4, &[]);
    let place = |domain: &str, fault: &str| (domain.to_owned(), fault.to_owned());
    pool.places = vec![place("A", "F1"), place("A", "F2"), place("B", "F1")];
    let adds = ["Add(\"A\", \"F1\")", "Add(\"B\", \"F1\")", "Add(\"A\", \"F2\")", "Add(\"B\", \"F1\")"];
    assert_eq!(told(&pool, 1), adds);
    // Down to two: one of each availability domain stays.
    let mut shrinks = observed(LifecycleState::Updating, 2, &["a", "a", "a", "a"]);
    for (node, at) in shrinks.nodes.iter_mut().zip([0, 1, 2, 2]) {
        node.place = pool.places[at].clone();
    }
    shrinks.places = pool.places;
    assert_eq!(told(&shrinks, 1), ["Retire(n3)", "Retire(n1)"]);
}

#[test]
fn nodes_are_registered_then_waited_for_then_active() {
    check(LifecycleState::Creating, 1, &["c-"], 1, &["Register(n0)"]);
    check(LifecycleState::Creating, 1, &["cu"], 1, &[]);
    let ready = ["Mark(n0, Active, None, None)", "Finish(Ok(()))", "MarkPool(Active, None)"];
    check(LifecycleState::Creating, 1, &["c"], 1, &ready);
    check(LifecycleState::Active, 1, &["a"], 1, &[]);
}

#[test]
fn a_node_that_does_not_come_needs_attention_and_says_why() {
    let late =
        ["Mark(n0, NeedsAttention, Some(\"why\"), None)", "MarkPool(NeedsAttention, Some(\"virtual node n0: why\"))"];
    check(LifecycleState::Creating, 1, &["cu"], READY_WITHIN_MS + 1, &late);
    check(LifecycleState::Active, 1, &["au"], 1, &late);
    let back = ["Mark(n0, Active, None, None)", "Finish(Ok(()))", "MarkPool(Active, None)"];
    check(LifecycleState::NeedsAttention, 1, &["n"], 1, &back);
}

#[test]
fn work_is_given_up_in_the_end_but_the_pool_is_not() {
    let actions = diff(&observed(LifecycleState::NeedsAttention, 1, &["nu"]), GIVE_UP_AFTER_MS + 1);
    assert!(matches!(actions[0], Action::Finish(Err(_))), "{actions:?}");
}

#[test]
fn the_nodes_that_are_missed_least_go_first() {
    check(LifecycleState::Updating, 1, &["a2", "a", "au"], 1, &["Retire(n2)", "Retire(n1)"]);
    check(LifecycleState::Updating, 1, &["a", "a"], 1, &["Retire(n1)"]);
}

#[test]
fn the_nodes_that_stay_are_spread() {
    // n0, n2 and n4 are in F0, n1 in F1: two of F0 go, though n1 has no pods.
    check(LifecycleState::Updating, 2, &["a1", "a", "a2", "a3"], 1, &["Retire(n1)", "Retire(n0)"]);
    let mut uneven = observed(LifecycleState::Updating, 2, &["a1", "a", "a2", "a"]);
    uneven.nodes[3].place.1 = "F0".into();
    assert_eq!(told(&uneven, 1), ["Retire(n3)", "Retire(n0)"]);
}

#[test]
fn a_leaving_node_is_drained_then_removed() {
    check(LifecycleState::Updating, 0, &["d2"], 1, &["Cordon(n0)", "Evict(n0)"]);
    check(LifecycleState::Updating, 0, &["dx2"], 1, &["Evict(n0)"]);
    check(LifecycleState::Updating, 0, &["dx"], 1, &["Remove(n0)"]);
    check(LifecycleState::Updating, 0, &["dx2"], DRAIN_WITHIN_MS + 1, &["Remove(n0)"]);
    check(LifecycleState::Updating, 0, &["d-"], 1, &["Remove(n0)"]);
    check(LifecycleState::Updating, 0, &["dwx2"], 60_001, &["Remove(n0)"]);
    check(LifecycleState::Updating, 0, &["dwx2"], 60_000, &["Evict(n0)"]);
}

#[test]
fn a_node_that_must_not_go_with_its_pods_stays_when_they_stay() {
    check(LifecycleState::Updating, 0, &["dkx2"], 1, &["Evict(n0)"]);
    check(LifecycleState::Updating, 0, &["dkx2"], DRAIN_WITHIN_MS + 1, &["Restore(n0)"]);
    check(LifecycleState::Updating, 0, &["dkx"], DRAIN_WITHIN_MS + 1, &["Remove(n0)"]);
    check(LifecycleState::Deleting, 0, &["dkx2"], DRAIN_WITHIN_MS + 1, &["Remove(n0)"]);
    // Without grace there is nothing to wait for.
    let mut now = observed(LifecycleState::Updating, 0, &["dk2"]);
    now.nodes[0].drain_ms = Some(0);
    assert_eq!(told(&now, 0), ["Remove(n0)"]);
}

#[test]
fn a_pool_is_deleted_after_its_nodes() {
    check(LifecycleState::Deleting, 2, &["a", "dx"], 1, &["Remove(n1)", "Retire(n0)"]);
    check(LifecycleState::Deleting, 2, &[], 1, &["Finish(Ok(()))", "MarkPool(Deleted, None)"]);
    check(LifecycleState::Deleted, 2, &[], 1, &[]);
}

#[test]
fn changed_labels_reach_existing_nodes() {
    check(LifecycleState::Updating, 1, &["as"], 1, &["Retemplate(n0)", "Finish(Ok(()))", "MarkPool(Active, None)"]);
}

#[test]
fn an_upgrade_ends_when_all_nodes_say_so() {
    check(LifecycleState::Updating, 2, &["as", "ab"], 1, &["Retemplate(n0)"]);
    check(LifecycleState::Updating, 2, &["a", "ab"], 1, &[]);
    check(LifecycleState::Updating, 2, &["a", "a"], 1, &["Finish(Ok(()))", "MarkPool(Active, None)"]);
}

#[test]
fn a_settled_pool_yields_nothing() {
    check(LifecycleState::Active, 2, &["a3", "a"], i64::MAX / 2, &[]);
}

#[test]
fn a_deleted_node_is_replaced_beside_the_one_that_leaves() {
    check(LifecycleState::Updating, 2, &["dx2", "a"], 1, &["Evict(n0)", "Add(\"AD\", \"F0\")"]);
}

#[test]
fn short_hosts_need_attention_until_they_are_not() {
    let short = |state, details: Option<&str>, short: Option<Shortage>| {
        let observed = Observed { details: details.map(str::to_owned), short, ..observed(state, 1, &["a"]) };
        told(&observed, i64::MAX / 2)
    };
    let room = || Some(Shortage::Room("full".into()));
    let needs = "MarkPool(NeedsAttention, Some(\"full\"))";
    assert_eq!(short(LifecycleState::Active, None, room()), [needs]);
    assert_eq!(short(LifecycleState::Updating, None, room()), ["Finish(Ok(()))", needs]);
    let mut told_already = observed(LifecycleState::NeedsAttention, 1, &["a"]);
    (told_already.details, told_already.short, told_already.works) = (Some("full".into()), room(), false);
    assert_eq!(told(&told_already, 1), Vec::<String>::new());
    told_already.short = Some(Shortage::Room("fuller".into()));
    assert_eq!(told(&told_already, 1), ["MarkPool(NeedsAttention, Some(\"fuller\"))"]);
    told_already.short = None;
    assert_eq!(told(&told_already, 1), ["MarkPool(Active, None)"]);
    // What was asked for can't be had at all.
    let shape = Some(Shortage::Shape("no host".into()));
    let failed = ["Finish(Err(\"no host\"))", "MarkPool(NeedsAttention, Some(\"no host\"))"];
    assert_eq!(short(LifecycleState::Creating, None, shape), failed);
}

#[test]
fn without_cycling_old_nodes_stay() {
    check(
        LifecycleState::Updating,
        2,
        &["ao", "am"],
        1,
        &["Retemplate(n0)", "Finish(Ok(()))", "MarkPool(Active, None)"],
    );
}

#[test]
fn cycling_adds_a_node_then_lets_one_go() {
    check_cycle(2, (1, 0), &["ao", "ao"], &["Add(\"AD\", \"F0\")"]);
    check_cycle(2, (1, 0), &["ao", "ao", "cu"], &[]);
    check_cycle(2, (1, 0), &["ao1", "ao", "c"], &["Retire(n1)", "Mark(n2, Active, None, None)"]);
    check_cycle(2, (1, 0), &["ao", "dxo", "a"], &["Remove(n1)"]);
    check_cycle(2, (1, 0), &["ao", "dxo1", "a"], &["Evict(n1)"]);
    check_cycle(2, (1, 0), &["a", "a"], &["Finish(Ok(()))", "MarkPool(Active, None)"]);
    // Places count too.
    check_cycle(2, (1, 0), &["a", "am"], &["Add(\"AD\", \"F1\")"]);
}

#[test]
fn cycling_without_surge_lets_nodes_go_first() {
    check_cycle(3, (0, 1), &["ao", "ao", "ao"], &["Retire(n2)"]);
    check_cycle(3, (0, 1), &["ao", "ao", "dxo"], &["Remove(n2)"]);
    check_cycle(3, (0, 1), &["ao", "ao"], &["Add(\"AD\", \"F0\")"]);
    check_cycle(3, (0, 2), &["ao", "ao", "ao"], &["Retire(n2)", "Retire(n1)"]);
}

#[test]
fn nodes_that_only_seem_lost_are_not_all_replaced_at_once() {
    let mut lost = observed(LifecycleState::Updating, 3, &["nuo", "nuo", "nuo"]);
    lost.cycling = Some(Steps { surge: 1, unavailable: 0 });
    let retired = told(&lost, 1).iter().filter(|action| action.starts_with("Retire")).count();
    assert_eq!(retired, 1);
}

/// A pool that obeys: what is added comes, what is drained goes.
fn obey(observed: &mut Observed, actions: &[Action], next: &mut usize) {
    for action in actions {
        let node = |observed: &mut Observed, id: &VirtualNodeId| {
            observed.nodes.iter().position(|node| node.id == *id).expect("actions are about nodes that are there")
        };
        match action {
            Action::Add(availability, fault) => {
                let mut new = new_node(*next, "cu");
                new.place = (availability.clone(), fault.clone());
                *next += 1;
                observed.nodes.push(new);
            }
            Action::Retire(id) => {
                let at = node(observed, id);
                observed.nodes[at].state = LifecycleState::Deleting;
            }
            Action::Cordon(id) => {
                let at = node(observed, id);
                observed.nodes[at].object.as_mut().unwrap().cordoned = true;
            }
            Action::Evict(id) => {
                let at = node(observed, id);
                observed.nodes[at].object.as_mut().unwrap().pods = 0;
            }
            Action::Remove(id) => observed.nodes.retain(|node| node.id != *id),
            Action::Mark(id, state, details, _) => {
                let at = node(observed, id);
                (observed.nodes[at].state, observed.nodes[at].details) = (*state, details.clone());
            }
            Action::Retemplate(id) => {
                let at = node(observed, id);
                observed.nodes[at].object.as_mut().unwrap().stale = false;
            }
            Action::MarkPool(state, details) => (observed.state, observed.details) = (*state, details.clone()),
            Action::Finish(_) => observed.works = false,
            Action::Register(_) | Action::Restore(_) => unreachable!("nodes have Nodes, and pods leave"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the steps: all nodes are replaced, never more at a time, and what the pool promises is ready all along.
    #[test]
    fn cycling_ends_and_keeps_its_bounds(
        size in 1u32..12, surge in 0usize..4, unavailable in 0usize..4, pods in prop::collection::vec(0usize..3, 12),
    ) {
        prop_assume!(surge + unavailable > 0);
        let words: Vec<String> = pods.iter().take(size as usize).map(|pods| format!("ao{pods}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut pool = observed(LifecycleState::Updating, size, &words);
        pool.cycling = Some(Steps { surge, unavailable });
        let mut next = words.len();
        for _ in 0..200 {
            let actions = diff(&pool, 1);
            obey(&mut pool, &actions, &mut next);
            let serving = |node: &&NodeView| {
                node.state != LifecycleState::Deleting && node.object.as_ref().is_some_and(|object| object.ready.is_ok())
            };
            prop_assert!(pool.nodes.len() <= size as usize + surge, "{} nodes", pool.nodes.len());
            let ready = pool.nodes.iter().filter(serving).count();
            prop_assert!(ready + unavailable >= size as usize, "{ready} are ready");
            // New nodes are ready at the next look.
            for node in &mut pool.nodes {
                node.object.as_mut().unwrap().ready = Ok(());
            }
        }
        prop_assert_eq!(diff(&pool, 1), vec![]);
        prop_assert_eq!(pool.state, LifecycleState::Active);
        prop_assert_eq!(pool.nodes.len(), size as usize);
        prop_assert!(pool.nodes.iter().all(|node| !node.object.as_ref().unwrap().outdated));
        let faults = |fault: &str| pool.nodes.iter().filter(|node| node.place.1 == fault).count();
        prop_assert!(faults("F0").abs_diff(faults("F1")) <= 1, "nodes are spread");
    }

    /// A shrink takes as many as it must, and leaves the rest spread.
    #[test]
    fn a_shrink_leaves_the_rest_spread(from in 1usize..12, to in 0u32..12, pods in prop::collection::vec(0usize..4, 12)) {
        let words: Vec<String> = pods.iter().take(from).map(|pods| format!("a{pods}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut pool = observed(LifecycleState::Updating, to, &words);
        let mut next = from;
        for _ in 0..50 {
            let actions = diff(&pool, 1);
            obey(&mut pool, &actions, &mut next);
            for node in &mut pool.nodes {
                node.object.as_mut().unwrap().ready = Ok(());
            }
        }
        prop_assert_eq!((diff(&pool, 1), pool.nodes.len()), (vec![], to as usize));
        let faults = |fault: &str| pool.nodes.iter().filter(|node| node.place.1 == fault).count();
        prop_assert!(faults("F0").abs_diff(faults("F1")) <= 1);
    }
}
