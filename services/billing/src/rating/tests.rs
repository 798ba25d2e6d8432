//! Rating as tables, and its properties.

use super::*;
use proptest::prelude::*;

const GIB: u64 = 1 << 30;

fn span(source: &str, from_s: i64, to_s: i64, ocpu_milli: u64, memory_bytes: u64) -> Span {
    let size = PodSize { ocpu_milli, memory_bytes };
    Span { source: source.into(), from_ms: from_s * 1000, to_ms: to_s * 1000, size }
}

fn card(id: &str, from_s: i64, ocpu: &str, gb: &str) -> RateCard {
    RateCard {
        id: id.into(),
        currency: "JPY".into(),
        effective_from_ms: from_s * 1000,
        ocpu_hour: ocpu.parse().unwrap(),
        memory_gb_hour: gb.parse().unwrap(),
    }
}

fn text(lines: &[Line]) -> String {
    let one = |l: &Line| {
        let billed = l.size.billed();
        format!("{} {}s x {} OCPU, {} GB = {}", l.card, l.seconds, billed.ocpus, billed.memory_gb, l.cost.normalize())
    };
    lines.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check(spans: &[Span], closures: &[(Option<&str>, i64)], expect: &str) {
    let closures: Vec<_> = closures
        .iter()
        .map(|(source, at_s)| Closure { source: source.map(str::to_owned), at_ms: at_s * 1000 })
        .collect();
    let lines = rate(&timeline(spans, &closures), Window::ALL, &[card("c", i64::MIN / 2000, "3.5", "0.21")]);
    assert_eq!(text(&lines), expect);
}

#[test]
fn an_hour_of_a_small_pod_costs_an_ocpu_and_a_gb() {
    check(&[span("h", 0, 3600, 125, 3 * GIB / 4)], &[], "c 3600s x 1 OCPU, 1 GB = 3.71");
}

#[test]
fn sizes_are_rounded_up() {
    check(&[span("h", 0, 3600, 1250, 13 * GIB / 4)], &[], "c 3600s x 2 OCPU, 4 GB = 7.84");
}

#[test]
fn a_pod_is_charged_for_a_minute_at_least() {
    check(&[span("h", 0, 1, 1000, GIB)], &[], "c 60s x 1 OCPU, 1 GB = 0.061833");
    check(&[span("h", 0, 61, 1000, GIB)], &[], "c 61s x 1 OCPU, 1 GB = 0.062864");
    // Once, however often it started.
    check(&[span("h", 0, 10, 1000, GIB), span("h", 100, 110, 1000, GIB)], &[], "c 60s x 1 OCPU, 1 GB = 0.061833");
}

#[test]
fn time_is_rounded_up_once_per_pod() {
    let ms = |from_ms, to_ms| Span { from_ms, to_ms, ..span("h", 0, 1, 1000, GIB) };
    check(&[ms(0, 70_100), ms(70_100, 80_200), ms(90_000, 90_100)], &[], "c 81s x 1 OCPU, 1 GB = 0.083475");
}

#[test]
fn two_hosts_never_bill_the_same_second_twice() {
    let both = [span("a", 0, 100, 1000, GIB), span("b", 50, 200, 1000, GIB)];
    check(&both, &[], "c 200s x 1 OCPU, 1 GB = 0.206111");
    // Where sizes differ, the smaller one counts.
    let sizes = [span("a", 0, 100, 1000, GIB), span("b", 50, 200, 2000, GIB)];
    check(&sizes, &[], "c 100s x 1 OCPU, 1 GB = 0.103056; c 100s x 2 OCPU, 1 GB = 0.200278");
}

#[test]
fn nothing_is_charged_past_a_closure() {
    let both = [span("a", 0, 1000, 1000, GIB), span("b", 300, 400, 1000, GIB)];
    check(&both, &[(Some("a"), 200)], "c 300s x 1 OCPU, 1 GB = 0.309167");
    check(&both, &[(None, 200)], "c 200s x 1 OCPU, 1 GB = 0.206111");
    check(&both, &[(None, 300), (None, 100), (Some("a"), 500)], "c 100s x 1 OCPU, 1 GB = 0.103056");
    check(&both, &[(None, 0)], "");
    check(&both, &[(Some("c"), 0)], "c 1000s x 1 OCPU, 1 GB = 1.030556");
}

#[test]
fn a_new_card_prices_what_comes_after_it() {
    let cards = [card("old", 0, "3.5", "0.21"), card("new", 1800, "7", "0.42")];
    let lines = rate(&timeline(&[span("h", 0, 3600, 1000, GIB)], &[]), Window::ALL, &cards);
    assert_eq!(text(&lines), "old 1800s x 1 OCPU, 1 GB = 1.855; new 1800s x 1 OCPU, 1 GB = 3.71");
}

#[test]
fn exact_sizes_are_decimals() {
    let size = PodSize { ocpu_milli: 125, memory_bytes: 3 * GIB / 4 };
    assert_eq!((ocpus(size).to_string(), memory_gb(size).to_string()), ("0.125".into(), "0.75".into()));
    assert_eq!(ocpus(PodSize { ocpu_milli: 2000, ..size }).to_string(), "2");
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let one = (0..2usize, 0..500_000i64, 1..200_000i64, 0..2u64).prop_map(|(source, from_ms, length, size)| Span {
        from_ms,
        to_ms: from_ms + length,
        ..span(["a", "b"][source], 0, 1, 1000 * (size + 1), GIB)
    });
    prop::collection::vec(one, 0..12)
}

fn totals(spans: &[Span], closures: &[Closure], window: Window) -> Vec<(PodSize, u64, u64)> {
    let cards = [card("one", 0, "3.5", "0.21"), card("two", 250, "4", "0.3")];
    let lines = rate(&timeline(spans, closures), window, &cards);
    let mut totals: Vec<_> = lines.iter().map(|l| (l.size, l.ocpu_seconds(), l.gb_seconds())).collect();
    totals.sort_by_key(|total| (total.0.ocpu_milli, total.1));
    totals
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// How usage was reported does not matter: order, repetition, where intervals were cut.
    #[test]
    fn reporting_does_not_matter(
        spans in spans(), seed in any::<prop::sample::Index>(), at in 0.01f64..0.99, closed in prop::option::of(0..600_000i64),
    ) {
        let closures: Vec<_> = closed.map(|at_ms| Closure { source: Some("a".into()), at_ms }).into_iter().collect();
        let expect = totals(&spans, &closures, Window::ALL);
        let mut turned = spans.clone();
        turned.reverse();
        turned.extend(spans.clone());
        if !turned.is_empty() {
            let middle = seed.index(turned.len());
            turned.rotate_left(middle);
            let whole = turned.remove(0);
            let cut = whole.from_ms + (((whole.to_ms - whole.from_ms) as f64 * at) as i64).max(1);
            turned.push(Span { from_ms: cut.min(whole.to_ms), ..whole.clone() });
            turned.push(Span { to_ms: cut.min(whole.to_ms), ..whole });
        }
        prop_assert_eq!(totals(&turned, &closures, Window::ALL), expect);
    }

    /// Neighbouring windows add up to the whole.
    #[test]
    fn windows_add_up(spans in spans(), at in 0..700_000i64) {
        let seconds = |window| totals(&spans, &[], window).iter().map(|total| (total.1, total.2)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let first = seconds(Window { to_ms: at, ..Window::ALL });
        let second = seconds(Window { from_ms: at, ..Window::ALL });
        prop_assert_eq!((first.0 + second.0, first.1 + second.1), seconds(Window::ALL));
    }

    /// Never more time than passed (beyond the minute), never less than one host saw.
    #[test]
    fn time_is_bounded(spans in spans()) {
        let pieces = timeline(&spans, &[]);
        let total: i64 = pieces.iter().map(|piece| piece.to_ms - piece.from_ms).sum();
        let longest = spans.iter().map(|span| span.to_ms - span.from_ms).max().unwrap_or(0);
        let extent = spans.iter().map(|s| s.to_ms).max().unwrap_or(0) - spans.iter().map(|s| s.from_ms).min().unwrap_or(0);
        prop_assert!(total >= longest && total <= extent.max(60_000));
        prop_assert!(pieces.windows(2).all(|pair| pair[0].to_ms <= pair[1].from_ms));
    }
}
