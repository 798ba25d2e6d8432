//! From intervals to money. Pure: no I/O, no clock, no floats.
//!
//! The rules (names appear in rated lines):
//! - `union`: a pod's time is the union of what all hosts saw; where two sizes overlap, the smaller counts.
//! - `closed`: nothing counts past a closure.
//! - `minimum-60s`: a pod with any time is charged for a minute at least; the missing time follows its last.
//! - `whole-ocpu-gb`: size is rounded up to whole OCPUs and whole GB (GiB).
//! - `per-second`: time is rounded up to a whole second, once per pod, not per interval or window.
//!   Source of the last three: Oracle's documents on virtual nodes and container instances.

mod timeline;

use domain::PodSize;
use rust_decimal::{Decimal, RoundingStrategy};

pub use timeline::{Closure, Piece, Span, timeline};

/// Rule of every rated line.
pub const RULE: &str = "union, closed, minimum-60s, whole-ocpu-gb, per-second";
/// Decimal places of an amount of a line.
const AMOUNT_SCALE: u32 = 6;
/// Bytes of a GB, which is taken as GiB.
const GB_BYTES: u64 = 1 << 30;
const SECONDS_PER_HOUR: u64 = 3600;

/// Prices of pods from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateCard {
    /// Name of the card.
    pub id: String,
    /// ISO 4217 code of the currency.
    pub currency: String,
    /// Unix milliseconds from which it holds.
    pub effective_from_ms: i64,
    /// Price of an OCPU for an hour.
    pub ocpu_hour: Decimal,
    /// Price of a GB of memory for an hour.
    pub memory_gb_hour: Decimal,
}

/// Window of time that is asked for, in Unix milliseconds: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First millisecond.
    pub from_ms: i64,
    /// First millisecond that is not in it.
    pub to_ms: i64,
}

impl Window {
    /// All of time.
    pub const ALL: Self = Self { from_ms: i64::MIN, to_ms: i64::MAX };
}

/// What one size of a pod costs by one card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The card's name.
    pub card: String,
    /// Its currency.
    pub currency: String,
    /// Its price of an OCPU for an hour.
    pub ocpu_hour: Decimal,
    /// Its price of a GB for an hour.
    pub memory_gb_hour: Decimal,
    /// The size before rounding up.
    pub size: PodSize,
    /// Charged seconds.
    pub seconds: u64,
    /// Cost of OCPUs and memory, to six decimal places.
    pub cost: Decimal,
}

impl Line {
    /// Charged seconds times charged OCPUs.
    #[must_use]
    pub fn ocpu_seconds(&self) -> u64 {
        self.seconds.saturating_mul(self.size.billed().ocpus)
    }

    /// Charged seconds times charged GB.
    #[must_use]
    pub fn gb_seconds(&self) -> u64 {
        self.seconds.saturating_mul(self.size.billed().memory_gb)
    }
}

/// Prices the part of a pod's timeline that is in `window`, by the cards (in order of their instants).
/// Windows that follow each other add up to the whole: no second is rounded twice.
#[must_use]
pub fn rate(pieces: &[Piece], window: Window, cards: &[RateCard]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut before_ms: i64 = 0;
    for piece in pieces {
        for part in split(*piece, window, cards) {
            let after_ms = before_ms.saturating_add(part.piece.to_ms - part.piece.from_ms);
            let seconds = whole_seconds(after_ms) - whole_seconds(before_ms);
            before_ms = after_ms;
            if let Some(card) = part.card.filter(|_| part.inside && seconds > 0) {
                add(&mut lines, card, part.piece.size, seconds);
            }
        }
    }
    for line in &mut lines {
        line.cost = cost(line);
    }
    lines
}

/// An amount in thousandths as OCPUs.
#[must_use]
pub fn ocpus(size: PodSize) -> Decimal {
    Decimal::from_i128_with_scale(i128::from(size.ocpu_milli), 3).normalize()
}

/// An amount of bytes as GB (GiB), to six decimal places.
#[must_use]
pub fn memory_gb(size: PodSize) -> Decimal {
    let gb = Decimal::from(size.memory_bytes) / Decimal::from(GB_BYTES);
    gb.round_dp_with_strategy(AMOUNT_SCALE, RoundingStrategy::MidpointAwayFromZero).normalize()
}

/// A part of a piece that is wholly in or out of the window, under one card.
struct Part<'a> {
    piece: Piece,
    inside: bool,
    card: Option<&'a RateCard>,
}

fn split<'a>(piece: Piece, window: Window, cards: &'a [RateCard]) -> Vec<Part<'a>> {
    let mut bounds: Vec<i64> = cards.iter().map(|card| card.effective_from_ms).collect();
    bounds.extend([window.from_ms, window.to_ms, piece.from_ms, piece.to_ms]);
    bounds.retain(|bound| (piece.from_ms..=piece.to_ms).contains(bound));
    bounds.sort_unstable();
    bounds.dedup();
    let part = |ends: &[i64]| Part {
        piece: Piece { from_ms: ends[0], to_ms: ends[1], size: piece.size },
        inside: window.from_ms <= ends[0] && ends[1] <= window.to_ms,
        card: cards.iter().rev().find(|card| card.effective_from_ms <= ends[0]),
    };
    bounds.windows(2).map(part).collect()
}

fn add(lines: &mut Vec<Line>, card: &RateCard, size: PodSize, seconds: u64) {
    match lines.iter_mut().find(|line| line.card == card.id && line.size == size) {
        Some(line) => line.seconds += seconds,
        None => lines.push(Line {
            card: card.id.clone(),
            currency: card.currency.clone(),
            ocpu_hour: card.ocpu_hour,
            memory_gb_hour: card.memory_gb_hour,
            size,
            seconds,
            cost: Decimal::ZERO,
        }),
    }
}

fn cost(line: &Line) -> Decimal {
    let hour = Decimal::from(SECONDS_PER_HOUR);
    let exact = Decimal::from(line.ocpu_seconds()) * line.ocpu_hour / hour
        + Decimal::from(line.gb_seconds()) * line.memory_gb_hour / hour;
    exact.round_dp_with_strategy(AMOUNT_SCALE, RoundingStrategy::MidpointAwayFromZero)
}

fn whole_seconds(ms: i64) -> u64 {
    ms.max(0).cast_unsigned().div_ceil(1000)
}

#[cfg(test)]
mod tests;
