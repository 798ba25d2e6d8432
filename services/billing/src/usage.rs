//! What pods used and what it costs: reads the ledger, rates it, pages it.

pub mod api;
pub mod store;

use std::collections::BTreeMap;

use domain::{Principal, TenantId};
use postgres::PgPool;

use crate::rates;
use crate::rating::{self, Closure, Line, RateCard, Span, Window};
use store::SpanRow;

/// Which pods of a tenant.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose.
    pub tenant: TenantId,
    /// Only of this cluster.
    pub cluster: Option<String>,
    /// Only in this namespace.
    pub namespace: Option<String>,
    /// Only with time in it, and only that time.
    pub window: Window,
    /// At most so many.
    pub limit: u32,
    /// After this one.
    pub after: Option<Position>,
}

/// Where a page ended: pods are in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The pod's cluster.
    pub cluster: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
}

/// One pod's usage in the window.
#[derive(Debug, Clone)]
pub struct PodUsage {
    /// Which pod.
    pub position: Position,
    /// The compartment it is accounted to.
    pub compartment: String,
    /// Pod shape.
    pub shape: String,
    /// Hosts that saw it.
    pub sources: Vec<String>,
    /// First millisecond that any host saw (whole life).
    pub first_ms: i64,
    /// Last one.
    pub last_ms: i64,
    /// What it costs, by size and card.
    pub lines: Vec<Line>,
}

/// A page of pods and where the next one begins.
#[derive(Debug, Clone)]
pub struct Page {
    /// The pods.
    pub pods: Vec<PodUsage>,
    /// Set if there are more.
    pub next: Option<Position>,
}

/// The cluster that a caller may see: the one its credential is bound to, else the one it asks for, else all of its
/// tenancy. None if it asks for another than it is bound to: as if that one did not exist.
#[must_use]
pub fn visible_cluster(principal: &Principal, asked: Option<String>) -> Option<Option<String>> {
    match (&principal.cluster_id, asked) {
        (Some(bound), Some(asked)) if bound.as_str() != asked => None,
        (Some(bound), _) => Some(Some(bound.as_str().to_owned())),
        (None, asked) => Some(asked),
    }
}

/// A page of usage.
///
/// # Errors
/// If Postgres can't be read.
pub async fn list_pods(pool: &PgPool, query: &Query) -> Result<Page, sqlx::Error> {
    let mut positions = store::list_positions(pool, query).await?;
    let more = positions.len() > query.limit as usize;
    positions.truncate(query.limit as usize);
    let next = positions.last().filter(|_| more).cloned();
    let uids: Vec<String> = positions.iter().map(|position| position.uid.clone()).collect();
    let cards = rates::pod_cards(pool).await?;
    let mut closures: BTreeMap<String, Vec<Closure>> = BTreeMap::new();
    for (uid, closure) in store::list_closures(pool, &uids).await? {
        closures.entry(uid).or_default().push(closure);
    }
    let mut rows: BTreeMap<Position, Vec<SpanRow>> = BTreeMap::new();
    for row in store::list_spans(pool, &query.tenant, &uids).await? {
        rows.entry(row.position()).or_default().push(row);
    }
    let pods = positions.into_iter().filter_map(|position| {
        let rows = rows.remove(&position)?;
        let closures = closures.remove(&position.uid).unwrap_or_default();
        Some(pod_usage(position, rows, &closures, query.window, &cards))
    });
    Ok(Page { pods: pods.collect(), next })
}

fn pod_usage(
    position: Position,
    rows: Vec<SpanRow>,
    closures: &[Closure],
    window: Window,
    cards: &[RateCard],
) -> PodUsage {
    let spans: Vec<Span> = rows.iter().map(SpanRow::span).collect();
    let lines = rating::rate(&rating::timeline(&spans, closures), window, cards);
    let mut sources: Vec<String> = spans.iter().map(|span| span.source.clone()).collect();
    sources.sort_unstable();
    sources.dedup();
    // Descriptions are the same on every host; the last one that wrote wins otherwise.
    let (compartment, shape) = rows.last().map(|r| (r.compartment_id.clone(), r.shape.clone())).unwrap_or_default();
    PodUsage {
        position,
        compartment,
        shape,
        sources,
        first_ms: spans.iter().map(|span| span.from_ms).min().unwrap_or_default(),
        last_ms: spans.iter().map(|span| span.to_ms).max().unwrap_or_default(),
        lines,
    }
}
