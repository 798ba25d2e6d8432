//! What the journal says, and the state that its records add up to. Pure: time is an argument, nothing is read or written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::PlacementInfo;

/// A stopped pod that nobody forgot is dropped when it is that much older than the newest; its uid never comes back.
const STOPPED_KEPT_MS: i64 = 24 * 3600 * 1000;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The whole state, at the head of each segment: earlier segments are not needed to go on.
    Snapshot { pods: BTreeMap<String, Pod> },
    /// From here on the pod is billed by this description; `at_ms` counts only if it was not billed before.
    Start { uid: String, info: Arc<PlacementInfo>, at_ms: i64 },
    /// An interval is complete.
    Cut { uid: String, sequence: u64, from_ms: i64, to_ms: i64 },
    /// The pod is billed no more.
    Stop { uid: String },
    /// The pod is gone for good.
    Forget { uid: String },
}

/// Where the billing of one pod stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) info: Arc<PlacementInfo>,
    /// Sequence number of the next interval.
    pub(crate) next: u64,
    /// End of the last interval, or start of the first.
    pub(crate) last_ms: i64,
    pub(crate) running: bool,
    /// Somebody who lives now has said that it runs. Not so after a restart: then it may have died meanwhile, and
    /// no time is billed until the agent has looked.
    #[serde(skip)]
    pub(crate) confirmed: bool,
}

/// A complete interval with what is needed to bill it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) uid: String,
    pub(crate) info: Arc<PlacementInfo>,
    pub(crate) sequence: u64,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

/// All pods that the journal knows.
///
/// Invariant: of one pod, each interval starts where the one before ended or later, never earlier; sequence numbers
/// have no gaps; both hold whatever times are passed in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pods: BTreeMap<String, Pod>,
}

impl State {
    /// Takes a record in; gives the interval that it completes. A record that does not fit (it can only come from a
    /// damaged journal) changes nothing.
    pub(crate) fn apply(&mut self, record: &Record) -> Option<Interval> {
        match record {
            Record::Snapshot { pods } => self.pods.clone_from(pods),
            Record::Start { uid, info, at_ms } => {
                let fresh = || Pod { info: info.clone(), next: 1, last_ms: *at_ms, running: true, confirmed: true };
                let pod = self.pods.entry(uid.clone()).or_insert_with(fresh);
                if !pod.running {
                    pod.last_ms = pod.last_ms.max(*at_ms);
                }
                pod.info = info.clone();
                pod.running = true;
            }
            Record::Cut { uid, sequence, from_ms, to_ms } => {
                let pod = self.pods.get_mut(uid).filter(|pod| pod.next == *sequence && pod.last_ms == *from_ms)?;
                pod.next += 1;
                pod.last_ms = *to_ms;
                return Some(Interval {
                    uid: uid.clone(),
                    info: pod.info.clone(),
                    sequence: *sequence,
                    from_ms: *from_ms,
                    to_ms: *to_ms,
                });
            }
            Record::Stop { uid } => {
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.running = false;
                }
            }
            Record::Forget { uid } => {
                self.pods.remove(uid);
            }
        }
        None
    }

    /// The records by which the pod is billed from `at_ms`, or goes on being billed if it is.
    pub(crate) fn start(&self, uid: &str, info: &Arc<PlacementInfo>, at_ms: i64) -> Vec<Record> {
        let start = Record::Start { uid: uid.to_owned(), info: info.clone(), at_ms };
        match self.pods.get(uid) {
            Some(pod) if pod.running && pod.info == *info => Vec::new(),
            // Another size: what was until now is billed by the old one.
            Some(pod) if pod.running => pod.cut(uid, at_ms).into_iter().chain([start]).collect(),
            _ => vec![start],
        }
    }

    /// The records by which the pod is billed until `at_ms` and no longer.
    pub(crate) fn stop(&self, uid: &str, at_ms: i64) -> Vec<Record> {
        match self.pods.get(uid) {
            Some(pod) if pod.running => {
                let stop = Record::Stop { uid: uid.to_owned() };
                pod.cut(uid, at_ms).into_iter().chain([stop]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The records by which all that runs is billed until `now_ms`.
    pub(crate) fn cut(&self, now_ms: i64) -> Vec<Record> {
        let runs = self.pods.iter().filter(|(_, pod)| pod.running && pod.confirmed);
        runs.filter_map(|(uid, pod)| pod.cut(uid, now_ms)).collect()
    }

    /// The records by which nothing of the pod is kept; it is not billed past its last interval.
    pub(crate) fn forget(&self, uid: &str) -> Vec<Record> {
        self.pods.get(uid).map(|_| Record::Forget { uid: uid.to_owned() }).into_iter().collect()
    }

    /// The whole state as a record.
    pub(crate) fn snapshot(&self) -> Record {
        let newest = self.pods.values().map(|pod| pod.last_ms).max().unwrap_or_default();
        let kept = |pod: &Pod| pod.running || pod.last_ms >= newest.saturating_sub(STOPPED_KEPT_MS);
        Record::Snapshot {
            pods: self.pods.iter().filter(|(_, pod)| kept(pod)).map(|(u, p)| (u.clone(), p.clone())).collect(),
        }
    }

    /// Somebody has seen the pod run.
    pub(crate) fn confirm(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.confirmed = true;
        }
    }

    /// Uids of the pods that are billed.
    pub(crate) fn running(&self) -> Vec<String> {
        self.pods.iter().filter(|(_, pod)| pod.running).map(|(uid, _)| uid.clone()).collect()
    }

    /// Nobody has seen any pod run: the state of a journal that was just opened.
    pub(crate) fn doubt_all(&mut self) {
        for pod in self.pods.values_mut() {
            pod.confirmed = false;
        }
    }
}

impl Pod {
    /// The interval from the last cut to `to_ms`; none if that is no time at all, or before it (a clock was set back).
    fn cut(&self, uid: &str, to_ms: i64) -> Option<Record> {
        (to_ms > self.last_ms).then(|| Record::Cut {
            uid: uid.to_owned(),
            sequence: self.next,
            from_ms: self.last_ms,
            to_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Do {
        Start(i64),
        Resize(i64),
        Stop(i64),
        Cut(i64),
        Restart,
    }
    use Do::{Cut, Resize, Restart, Start, Stop};

    fn info(ocpu_milli: u64) -> Arc<PlacementInfo> {
        Arc::new(PlacementInfo { ocpu_milli, ..PlacementInfo::default() })
    }

    /// Intervals as `sequence:from-to`, with the size where it is not 1.
    #[track_caller]
    fn check(steps: &[Do], expect: &str) {
        let mut state = State::default();
        let mut intervals = Vec::new();
        for step in steps {
            let records = match step {
                Start(at) => state.start("p", &info(1), *at),
                Resize(at) => state.start("p", &info(2), *at),
                Stop(at) => state.stop("p", *at),
                Cut(at) => state.cut(*at),
                Restart => {
                    state.doubt_all();
                    Vec::new()
                }
            };
            intervals.extend(records.iter().filter_map(|record| state.apply(record)));
            if matches!(step, Start(_)) {
                state.confirm("p");
            }
        }
        let text = |i: &Interval| {
            let size = if i.info.ocpu_milli == 1 { String::new() } else { format!("x{}", i.info.ocpu_milli) };
            format!("{}:{}-{}{size}", i.sequence, i.from_ms, i.to_ms)
        };
        assert_eq!(intervals.iter().map(text).collect::<Vec<_>>().join(" "), expect);
    }

    #[test]
    fn a_life_is_cut_without_gaps() {
        check(&[Start(10), Cut(20), Cut(30), Stop(35)], "1:10-20 2:20-30 3:30-35");
    }

    #[test]
    fn starting_and_stopping_twice_changes_nothing() {
        check(&[Start(10), Start(15), Stop(20), Stop(30), Cut(40)], "1:10-20");
    }

    #[test]
    fn after_a_restart_nothing_is_billed_until_the_pod_was_seen() {
        check(&[Start(10), Cut(20), Restart, Cut(30), Start(35), Cut(40)], "1:10-20 2:20-40");
        check(&[Start(10), Cut(20), Restart, Cut(90), Stop(25), Cut(99)], "1:10-20 2:20-25");
        check(&[Start(10), Cut(20), Restart, Stop(15)], "1:10-20");
    }

    #[test]
    fn a_clock_set_back_never_bills_twice() {
        check(&[Start(100), Cut(120), Cut(50), Cut(119), Cut(130)], "1:100-120 2:120-130");
        check(&[Start(100), Cut(120), Stop(50), Start(60), Cut(150)], "1:100-120 2:120-150");
    }

    #[test]
    fn a_pod_that_starts_again_goes_on_counting() {
        check(&[Start(10), Stop(20), Start(50), Stop(60)], "1:10-20 2:50-60");
    }

    #[test]
    fn a_new_size_begins_with_its_interval() {
        check(&[Start(10), Resize(15), Cut(20)], "1:10-15 2:15-20x2");
    }
}
