//! The billed time of one pod: the union of what all hosts saw, closed where it was closed, a minute long at least.

use std::collections::BTreeMap;

use domain::PodSize;

/// Least time that a pod is charged for.
/// Source: Oracle's price list, container instances: "per second, with a minimum of one minute".
const MINIMUM_MS: i64 = 60_000;

/// Time that one host saw: `[from_ms, to_ms)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The host.
    pub source: String,
    /// Unix milliseconds.
    pub from_ms: i64,
    /// Unix milliseconds.
    pub to_ms: i64,
    /// The pod's size during it.
    pub size: PodSize,
}

/// An end of billing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// The host whose time it ends; none: everyone's.
    pub source: Option<String>,
    /// Unix milliseconds.
    pub at_ms: i64,
}

/// Time that is charged: `[from_ms, to_ms)`. Pieces of one pod are in order and never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Unix milliseconds.
    pub from_ms: i64,
    /// Unix milliseconds.
    pub to_ms: i64,
    /// The size that is charged.
    pub size: PodSize,
}

/// The charged time of one pod. Neither the order of the spans nor how they were cut, nor repetition, matters.
#[must_use]
pub fn timeline(spans: &[Span], closures: &[Closure]) -> Vec<Piece> {
    let mut pieces = union(spans.iter().filter_map(|span| close(span, closures)));
    let total: i64 = pieces.iter().map(|piece| piece.to_ms - piece.from_ms).sum();
    if let Some(last) = pieces.last_mut() {
        last.to_ms += (MINIMUM_MS - total).max(0);
    }
    pieces
}

/// What is left of a span; none if it was closed before it began.
fn close(span: &Span, closures: &[Closure]) -> Option<Piece> {
    let meant = closures.iter().filter(|closure| closure.source.as_ref().is_none_or(|source| *source == span.source));
    let to_ms = meant.map(|closure| closure.at_ms).fold(span.to_ms, i64::min);
    (to_ms > span.from_ms).then_some(Piece { from_ms: span.from_ms, to_ms, size: span.size })
}

/// Sweeps over all starts and ends with the sizes that are open.
fn union(spans: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut events: Vec<(i64, bool, (u64, u64))> = Vec::new();
    for span in spans {
        let size = (span.size.ocpu_milli, span.size.memory_bytes);
        events.push((span.from_ms, true, size));
        events.push((span.to_ms, false, size));
    }
    events.sort_unstable();
    let mut open: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut since = i64::MIN;
    for (at, starts, size) in events {
        if let Some((ocpu_milli, memory_bytes)) = open.keys().next().copied().filter(|_| at > since) {
            push(&mut pieces, Piece { from_ms: since, to_ms: at, size: PodSize { ocpu_milli, memory_bytes } });
        }
        since = at;
        let count = open.entry(size).or_default();
        if starts {
            *count += 1;
        } else {
            // Invariant: an end sorts after its start, since no span is empty.
            *count -= 1;
            if *count == 0 {
                open.remove(&size);
            }
        }
    }
    pieces
}

/// Appends a piece, joined to the one before if nothing is between them.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.to_ms == piece.from_ms && last.size == piece.size => last.to_ms = piece.to_ms,
        _ => pieces.push(piece),
    }
}
