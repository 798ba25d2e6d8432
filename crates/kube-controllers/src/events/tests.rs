use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn old_events_go_and_the_next_is_waited_for() {
    let key = |name: &str| Key::new(RESOURCE, "ns", name);
    let events = [(key("a"), at(0)), (key("b"), at(50)), (key("c"), at(70))];
    let (old, next) = expired(&events, Duration::from_secs(100), at(150));
    assert_eq!(old, [key("a"), key("b")]);
    assert_eq!(next, Some(Duration::from_secs(20)));
    assert_eq!(expired(&[], Duration::from_secs(100), at(150)), (Vec::new(), None));
}

#[test]
fn equal_notes_share_a_name_and_only_so_many_are_remembered() {
    let cluster = ClusterId::generate();
    let note = |message: &str| Note {
        about: json!({"name": "web", "uid": "u"}),
        kind: "Normal",
        reason: "R",
        message: message.into(),
        source: "s",
    };
    let mut recent = Recent::default();
    let first = recent.name(&cluster, &note("a"));
    assert_eq!(recent.name(&cluster, &note("a")), first);
    assert_ne!(recent.name(&cluster, &note("b")), first);
    assert_ne!(recent.name(&ClusterId::generate(), &note("a")), first);
    for n in 0..2 * REMEMBERED {
        recent.name(&cluster, &note(&n.to_string()));
    }
    assert_eq!((recent.names.len(), recent.order.len()), (REMEMBERED, REMEMBERED));
}

#[test]
fn a_counted_event_keeps_its_first_time() {
    let note = Note {
        about: json!({"name": "web", "namespace": "ns", "uid": "u"}),
        kind: "Warning",
        reason: "R",
        message: "m".into(),
        source: "s",
    };
    let twice = counted(event("web.1", "ns", &note, at(0)), at(60));
    assert_eq!((&twice["count"], &twice["firstTimestamp"]), (&json!(2), &json!("1970-01-01T00:00:00Z")));
    assert_eq!(twice["lastTimestamp"], "1970-01-01T00:01:00Z");
}
