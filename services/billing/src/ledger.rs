//! The ledger: intervals and closures, checked and written once each.

pub mod grpc;
pub mod store;

use std::collections::{HashMap, HashSet};

use domain::HostId;
use parking_lot::Mutex;
use postgres::PgPool;
use proto::billing::{Closure, Interval};

use crate::metrics::Metrics;
use store::{ResourceRow, StoreError};

/// Hosts' pods whose row is remembered; one more starts over. A fleet of 1,000 hosts with 100 pods each fits.
const KNOWN_LIMIT: usize = 200_000;
/// Largest size that makes sense: 10,000 OCPU, 1 PiB. Beyond it something is broken, and amounts might overflow.
const OCPU_MILLI_LIMIT: u64 = 10_000_000;
const MEMORY_BYTES_LIMIT: u64 = 1 << 50;
/// Year 9999, in Unix milliseconds.
const TIME_LIMIT_MS: i64 = 253_402_300_799_000;
/// Longest id, name or reason.
const TEXT_LIMIT: usize = 512;

/// The ledger on Postgres.
#[derive(Debug)]
pub struct Ledger {
    pool: PgPool,
    /// Row ids of (resource uid, source). Rows are never deleted, so this is never wrong.
    known: Mutex<Known>,
}

/// Row ids by resource uid and source.
#[derive(Debug, Default)]
struct Known {
    by_uid: HashMap<String, Vec<(String, i64)>>,
    rows: usize,
}

impl Known {
    fn get(&self, interval: &Interval) -> Option<i64> {
        let sources = self.by_uid.get(&interval.resource_uid)?;
        sources.iter().find(|(source, _)| *source == interval.source).map(|(_, id)| *id)
    }

    fn add(&mut self, ((uid, source), id): ResourceRow) {
        let sources = self.by_uid.entry(uid).or_default();
        if sources.iter().all(|(known, _)| *known != source) {
            sources.push((source, id));
            self.rows += 1;
        }
    }
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// A host's agent: records what it saw itself.
    Host(HostId),
    /// Control: records and closes.
    Control,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The caller may not write that.
    #[error("{0}")]
    Forbidden(String),
    /// The caller's data makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Postgres did not take it; nothing is lost by trying again.
    #[error("the ledger could not be written")]
    Store(#[from] StoreError),
}

impl Writer {
    /// The writer with that certificate, if it is one.
    #[must_use]
    pub fn from_common_name(name: &str) -> Option<Self> {
        match name {
            "control" => Some(Self::Control),
            name => HostId::from_common_name(name).map(Self::Host),
        }
    }
}

impl Ledger {
    /// A ledger on a pool from [`postgres::connect_billing`].
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Mutex::default() }
    }

    /// Appends intervals; those that are there already are left as they are. Gives how many were new.
    ///
    /// # Errors
    /// All or none: an interval that is refused refuses the whole call.
    pub async fn record(&self, writer: &Writer, intervals: &[Interval]) -> Result<u64, LedgerError> {
        for interval in intervals {
            check_writer(writer, &interval.source)?;
            check_interval(interval).map_err(LedgerError::Invalid)?;
        }
        if intervals.is_empty() {
            return Ok(0);
        }
        let ids = self.resource_ids(intervals).await?;
        let recorded = store::insert_intervals(&self.pool, &ids, intervals).await?;
        let newest_ms = intervals.iter().map(|interval| interval.to_ms).max().unwrap_or_default();
        Metrics::registered().recorded(intervals.len() as u64, recorded, newest_ms);
        if recorded < intervals.len() as u64 {
            self.report_conflicts(&ids, intervals).await;
        }
        Ok(recorded)
    }

    /// Ends the billing of resources; the earliest end of each counts.
    ///
    /// # Errors
    /// All or none.
    pub async fn close(&self, writer: &Writer, closures: &[Closure]) -> Result<(), LedgerError> {
        if *writer != Writer::Control {
            return Err(LedgerError::Forbidden("only control may close".into()));
        }
        for closure in closures {
            check_closure(closure).map_err(LedgerError::Invalid)?;
        }
        Ok(store::insert_closures(&self.pool, closures).await?)
    }

    /// The row id of each interval's resource; rows are made for new ones.
    async fn resource_ids(&self, intervals: &[Interval]) -> Result<Vec<i64>, StoreError> {
        let unknown: Vec<&Interval> = {
            let known = self.known.lock();
            let mut seen: HashSet<(&str, &str)> = HashSet::new();
            let new = intervals.iter().filter(|interval| known.get(interval).is_none());
            new.filter(|interval| seen.insert((&interval.resource_uid, &interval.source))).collect()
        };
        if !unknown.is_empty() {
            let rows = store::ensure_resources(&self.pool, &unknown).await?;
            let mut known = self.known.lock();
            if known.rows + rows.len() > KNOWN_LIMIT {
                *known = Known::default();
            }
            rows.into_iter().for_each(|row| known.add(row));
        }
        let known = self.known.lock();
        // Absent only if the memory was emptied just now, by another call or by this one.
        intervals.iter().map(|interval| known.get(interval).ok_or(StoreError::Busy)).collect()
    }

    /// A host that reports the same sequence number with other times has lost its journal: that is for an operator.
    async fn report_conflicts(&self, ids: &[i64], intervals: &[Interval]) {
        match store::count_conflicts(&self.pool, ids, intervals).await {
            Ok(0) => {}
            Ok(count) => {
                Metrics::registered().conflicted(count.unsigned_abs());
                let source = intervals.first().map_or("", |interval| interval.source.as_str());
                tracing::error!(
                    source,
                    count,
                    "{source} reported {count} recorded intervals with other times; kept ours"
                );
            }
            Err(error) => tracing::warn!("could not compare repeated intervals: {error}"),
        }
    }
}

fn check_writer(writer: &Writer, source: &str) -> Result<(), LedgerError> {
    match writer {
        Writer::Control => Ok(()),
        Writer::Host(host) if host.as_str() == source => Ok(()),
        Writer::Host(host) => {
            Err(LedgerError::Forbidden(format!("host {host} may not record usage in the name of {source:?}")))
        }
    }
}

fn check_interval(interval: &Interval) -> Result<(), String> {
    let uid = &interval.resource_uid;
    let needed = [
        ("source", &interval.source),
        ("resource_uid", uid),
        ("tenant_id", &interval.tenant_id),
        ("cluster_id", &interval.cluster_id),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, text)| text.is_empty()) {
        return Err(format!("{name} of an interval of {uid:?} is empty"));
    }
    let others = [&interval.compartment_id, &interval.namespace, &interval.name, &interval.shape];
    let mut texts = needed.iter().map(|(_, text)| *text).chain(others);
    if texts.any(|text| text.len() > TEXT_LIMIT || text.contains('\0')) {
        return Err(format!("a text of an interval of {uid:?} is longer than {TEXT_LIMIT} bytes or has a NUL"));
    }
    if interval.sequence == 0 || i64::try_from(interval.sequence).is_err() {
        return Err(format!("sequence {} of {uid:?} is not counted from 1", interval.sequence));
    }
    let (from, to) = (interval.from_ms, interval.to_ms);
    if !(0 <= from && from < to && to <= TIME_LIMIT_MS) {
        return Err(format!("interval {} of {uid:?} has no proper times: from {from} to {to}", interval.sequence));
    }
    if interval.ocpu_milli > OCPU_MILLI_LIMIT || interval.memory_bytes > MEMORY_BYTES_LIMIT {
        return Err(format!("interval {} of {uid:?} has an impossible size", interval.sequence));
    }
    Ok(())
}

fn check_closure(closure: &Closure) -> Result<(), String> {
    let uid = &closure.resource_uid;
    if uid.is_empty() {
        return Err("resource_uid of a closure is empty".into());
    }
    if [uid, &closure.source, &closure.reason].iter().any(|text| text.len() > TEXT_LIMIT || text.contains('\0')) {
        return Err(format!("a text of a closure of {uid:?} is longer than {TEXT_LIMIT} bytes or has a NUL"));
    }
    if !(0..=TIME_LIMIT_MS).contains(&closure.at_ms) {
        return Err(format!("closure of {uid:?} has no proper time: {}", closure.at_ms));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval() -> Interval {
        Interval {
            source: "host-1".into(),
            resource_uid: "u".into(),
            sequence: 1,
            tenant_id: "t".into(),
            cluster_id: "c".into(),
            from_ms: 1,
            to_ms: 2,
            ..Interval::default()
        }
    }

    #[test]
    fn intervals_are_checked() {
        assert_eq!(check_interval(&interval()), Ok(()));
        let refused = |change: fn(&mut Interval)| {
            let mut changed = interval();
            change(&mut changed);
            check_interval(&changed).unwrap_err()
        };
        assert!(refused(|i| i.to_ms = 1).contains("no proper times"));
        assert!(refused(|i| i.sequence = 0).contains("counted from 1"));
        assert!(refused(|i| i.sequence = u64::MAX).contains("counted from 1"));
        assert!(refused(|i| i.tenant_id.clear()).contains("tenant_id"));
        assert!(refused(|i| i.name = "x".repeat(600)).contains("longer"));
        assert!(refused(|i| i.memory_bytes = u64::MAX).contains("impossible size"));
    }

    #[test]
    fn a_host_writes_for_itself_only() {
        let host = Writer::from_common_name("host:host-1").unwrap();
        assert!(check_writer(&host, "host-1").is_ok());
        assert!(matches!(check_writer(&host, "host-2"), Err(LedgerError::Forbidden(_))));
        assert!(check_writer(&Writer::from_common_name("control").unwrap(), "host-2").is_ok());
        assert_eq!(Writer::from_common_name("api-gateway"), None);
        assert_eq!(Writer::from_common_name("host:"), None);
    }
}
