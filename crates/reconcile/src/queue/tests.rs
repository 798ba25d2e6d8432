use super::*;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Id(&'static str, u32);

impl Key for Id {
    type Lane = &'static str;
    fn lane(&self) -> &'static str {
        self.0
    }
}

fn queue() -> Queue<Id> {
    Queue::new(Backoff { base: Duration::from_millis(10), limit: Duration::from_secs(1), jitter: 0.0 })
}

fn take(queue: &Queue<Id>) -> Option<Id> {
    queue.take().map(|job| job.key)
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_at_most_once() {
    let queue = queue();
    queue.add(Id("a", 1));
    queue.add(Id("a", 1));
    assert_eq!(queue.depth(), 1);
    assert_eq!(take(&queue), Some(Id("a", 1)));
    assert_eq!(take(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn an_add_during_a_run_causes_one_more_run_after_it() {
    let queue = queue();
    queue.add(Id("a", 1));
    let key = take(&queue).unwrap();
    queue.add(Id("a", 1));
    queue.add(Id("a", 1));
    assert_eq!(take(&queue), None, "never two workers on one key");
    queue.finish(&key, Some(Next::Settled));
    assert_eq!(take(&queue), Some(Id("a", 1)));
    queue.finish(&key, Some(Next::Settled));
    assert_eq!(take(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn settled_keys_cost_nothing() {
    let queue = queue();
    for n in 0..100 {
        queue.add(Id("a", n));
    }
    while let Some(key) = take(&queue) {
        queue.finish(&key, Some(Next::Settled));
    }
    let state = queue.0.state.lock();
    assert!(state.entries.is_empty() && state.lanes.is_empty() && state.turns.is_empty() && state.wakes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn lanes_take_turns() {
    let queue = queue();
    queue.add_all([Id("a", 1), Id("a", 2), Id("a", 3), Id("b", 1), Id("c", 1)]);
    let order: Vec<_> = std::iter::from_fn(|| take(&queue)).collect();
    assert_eq!(order, [Id("a", 1), Id("b", 1), Id("c", 1), Id("a", 2), Id("a", 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_forgets_the_wake_and_its_result_sets_a_new_one() {
    let queue = queue();
    queue.add_after(Id("a", 1), Duration::from_secs(5));
    queue.add_after(Id("a", 1), Duration::from_secs(9));
    assert_eq!(queue.0.state.lock().wakes.len(), 1, "the earlier wake stays");
    queue.add(Id("a", 1));
    let key = take(&queue).unwrap();
    assert!(queue.0.state.lock().wakes.is_empty());
    queue.finish(&key, Some(Next::After(Duration::from_secs(2))));
    tokio::time::advance(Duration::from_secs(2)).await;
    queue.fire();
    assert_eq!(take(&queue), Some(key));
}

#[tokio::test(start_paused = true)]
async fn errors_back_off_and_success_forgets_them() {
    let queue = queue();
    let key = Id("a", 1);
    let mut due = Vec::new();
    queue.add(key.clone());
    for _ in 0..3 {
        assert_eq!(take(&queue).as_ref(), Some(&key));
        queue.finish(&key, None);
        let at = queue.0.state.lock().wakes.first_key_value().unwrap().0.0;
        due.push((at - Instant::now()).as_millis());
        tokio::time::advance(at - Instant::now()).await;
        queue.fire();
    }
    assert_eq!(due, [10, 20, 40]);
    assert_eq!(queue.take().unwrap().failures, 3);
    queue.finish(&key, Some(Next::Settled));
    assert_eq!(queue.known(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_removed_lane_leaves_nothing_and_stops_after_its_run() {
    let queue = queue();
    queue.add_all([Id("a", 1), Id("a", 2), Id("b", 1)]);
    let running = take(&queue).unwrap();
    queue.add(running.clone());
    queue.add_after(Id("a", 7), Duration::from_secs(1));
    queue.remove(|key| key.0 == "a");
    assert_eq!(take(&queue), Some(Id("b", 1)));
    assert_eq!(take(&queue), None);
    queue.finish(&running, Some(Next::Settled));
    queue.finish(&Id("b", 1), Some(Next::Settled));
    assert_eq!((queue.known(), queue.depth()), (0, 0));
}
