use super::*;

fn id(number: usize) -> VirtualNodeId {
    format!("ocid1.virtualnode.hako.local-1.n{number}").parse().unwrap()
}

/// Words: state letter (c a d n), then `-` (no Node), `u` (unready), `x` (cordoned), `s` (stale), `b` (behind), a number
/// of pods.
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
        stale: word.contains('s'),
        behind: word.contains('b'),
        address: None,
    });
    let details = (state == LifecycleState::NeedsAttention).then(|| "why".to_owned());
    let place = ("AD".to_owned(), format!("F{}", number % 2));
    NodeView { id: id(number), name: format!("n{number}"), state, details, state_ms: 0, place, object }
}

fn observed(state: LifecycleState, size: u32, nodes: &[&str]) -> Observed {
    let places = vec![("AD".to_owned(), "F0".to_owned()), ("AD".to_owned(), "F1".to_owned())];
    let nodes = nodes.iter().enumerate().map(|(number, word)| node(number, word)).collect();
    let works = !matches!(state, LifecycleState::Active);
    Observed { state, details: None, size, state_ms: 0, works, nodes, places }
}

#[track_caller]
fn check(state: LifecycleState, size: u32, nodes: &[&str], now_ms: i64, expect: &[&str]) {
    let short = |action: &Action| format!("{action:?}").replace("ocid1.virtualnode.hako.local-1.", "");
    let actions: Vec<String> = diff(&observed(state, size, nodes), now_ms).iter().map(short).collect();
    assert_eq!(actions, expect);
}

#[test]
fn a_new_pool_spreads_its_nodes_over_fault_domains() {
    let adds = ["Add(\"AD\", \"F0\")", "Add(\"AD\", \"F1\")", "Add(\"AD\", \"F0\")"];
    check(LifecycleState::Creating, 3, &[], 1, &adds);
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
fn a_leaving_node_is_drained_then_removed() {
    check(LifecycleState::Updating, 0, &["d2"], 1, &["Cordon(n0)", "Evict(n0)"]);
    check(LifecycleState::Updating, 0, &["dx2"], 1, &["Evict(n0)"]);
    check(LifecycleState::Updating, 0, &["dx"], 1, &["Remove(n0)"]);
    check(LifecycleState::Updating, 0, &["dx2"], DRAIN_WITHIN_MS + 1, &["Remove(n0)"]);
    check(LifecycleState::Updating, 0, &["d-"], 1, &["Remove(n0)"]);
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
