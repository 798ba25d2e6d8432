//! The journal's files: numbered segments of checksummed lines, appended and synced before anything is said to be recorded.
//! Segments go when billing has acknowledged all intervals in them.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::PlacementInfo;
use super::record::{Interval, Record, State};

/// Extension of a segment's file.
const EXTENSION: &str = "journal";
/// A segment whose intervals are all acknowledged is left for a new one from this size on, so that it can go.
const WORTH_LEAVING: u64 = 64 << 10;

/// The open journal.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    segment_bytes: u64,
    state: State,
    /// Intervals that billing has not acknowledged, oldest first, with the number of their segment.
    pending: VecDeque<(u64, Interval)>,
    current: Segment,
    /// Numbers of the earlier segments that are still there.
    earlier: Vec<u64>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    /// Bytes of whole records.
    length: u64,
}

impl Store {
    /// Opens the journal, making it if it is missing. A record torn by a crash at the end is cut off: it was never
    /// acknowledged to anybody.
    pub(crate) fn open(dir: &Path, segment_bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("can't create {}", dir.display()))?;
        let mut numbers = segment_numbers(dir).with_context(|| format!("can't read {}", dir.display()))?;
        let (mut state, mut pending) = (State::default(), VecDeque::new());
        let mut last = None;
        for (index, number) in numbers.clone().into_iter().enumerate() {
            let path = path(dir, number);
            let (records, length, damaged) = read(&path)?;
            let is_last = index + 1 == numbers.len();
            if damaged && !is_last {
                tracing::error!("{} is damaged in the middle: intervals in it may be lost", path.display());
            }
            if is_last && !matches!(records.first(), Some(Record::Snapshot { .. })) {
                // Its creation was cut short; everything is in the segment before.
                std::fs::remove_file(&path).with_context(|| format!("can't delete {}", path.display()))?;
                numbers.pop();
                break;
            }
            let complete = records.iter().filter_map(|record| state.apply(record));
            pending.extend(complete.map(|interval| (number, interval)));
            last = Some((number, length));
        }
        state.doubt_all();
        let current = match last {
            Some((number, length)) => reopen(dir, number, length)?,
            None => create(dir, 1, &state)?,
        };
        numbers.retain(|number| *number != current.number);
        Ok(Self { dir: dir.to_owned(), segment_bytes, state, pending, current, earlier: numbers })
    }

    /// Billing of the pod begins at `at_ms`, or goes on.
    pub(crate) fn start(&mut self, uid: &str, info: PlacementInfo, at_ms: i64) -> anyhow::Result<()> {
        let records = self.state.start(uid, &Arc::new(info), at_ms);
        self.append(&records)?;
        self.state.confirm(uid);
        Ok(())
    }

    /// Billing of the pod ends at `at_ms`.
    pub(crate) fn stop(&mut self, uid: &str, at_ms: i64) -> anyhow::Result<()> {
        let records = self.state.stop(uid, at_ms);
        self.append(&records)
    }

    /// Completes the intervals of all that runs.
    pub(crate) fn cut(&mut self, now_ms: i64) -> anyhow::Result<()> {
        let records = self.state.cut(now_ms);
        self.append(&records)
    }

    /// Nothing of the pod is kept but its intervals that wait.
    pub(crate) fn forget(&mut self, uid: &str) -> anyhow::Result<()> {
        let records = self.state.forget(uid);
        self.append(&records)
    }

    /// Uids of the pods that are billed.
    pub(crate) fn running(&self) -> Vec<String> {
        self.state.running()
    }

    /// The oldest intervals that wait.
    pub(crate) fn pending(&self, limit: usize) -> Vec<Interval> {
        self.pending.iter().take(limit).map(|(_, interval)| interval.clone()).collect()
    }

    /// How many intervals wait.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// The oldest `count` intervals are safe with billing.
    pub(crate) fn acknowledge(&mut self, count: usize) -> anyhow::Result<()> {
        self.pending.drain(..count.min(self.pending.len()));
        if self.pending.is_empty() && self.current.length > WORTH_LEAVING {
            self.rotate()?;
        }
        let needed = self.pending.front().map_or(u64::MAX, |(number, _)| *number);
        for number in self.earlier.extract_if(.., |number| *number < needed) {
            let path = path(&self.dir, number);
            std::fs::remove_file(&path).with_context(|| format!("can't delete {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes records, syncs them, and only then lets them count.
    fn append(&mut self, records: &[Record]) -> anyhow::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.current.length > self.segment_bytes {
            self.rotate()?;
        }
        let path = path(&self.dir, self.current.number);
        self.current.append(records).with_context(|| format!("can't write {}", path.display()))?;
        for record in records {
            if let Some(interval) = self.state.apply(record) {
                self.pending.push_back((self.current.number, interval));
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> anyhow::Result<()> {
        let next = create(&self.dir, self.current.number + 1, &self.state)?;
        self.earlier.push(self.current.number);
        self.current = next;
        Ok(())
    }

    #[cfg(test)]
    fn position(&self) -> (u64, u64) {
        (self.current.number, self.current.length)
    }
}

impl Segment {
    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            encode(record, &mut text)?;
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A half-written record must not be followed by a whole one.
            self.file.set_len(self.length)?;
            return written;
        }
        self.length += text.len() as u64;
        Ok(())
    }
}

fn encode(record: &Record, text: &mut Vec<u8>) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    write!(text, "{:08x} ", crc32fast::hash(&json))?;
    text.extend_from_slice(&json);
    text.push(b'\n');
    Ok(())
}

fn decode(line: &[u8]) -> Option<Record> {
    let (checksum, json) = (line.get(..8)?, line.get(9..)?);
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    if crc32fast::hash(json) != checksum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// The whole records at the start of a segment, their length in bytes, and whether more follows.
fn read(path: &Path) -> anyhow::Result<(Vec<Record>, u64, bool)> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let (mut records, mut length) = (Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = line.strip_suffix(b"\n").and_then(decode) else { break };
        records.push(record);
        length += line.len();
    }
    Ok((records, length as u64, length < bytes.len()))
}

fn reopen(dir: &Path, number: u64, length: u64) -> anyhow::Result<Segment> {
    let path = path(dir, number);
    let opened = || -> io::Result<File> {
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(length)?;
        file.sync_all()?;
        Ok(file)
    };
    let file = opened().with_context(|| format!("can't open {}", path.display()))?;
    Ok(Segment { number, file, length })
}

fn create(dir: &Path, number: u64, state: &State) -> anyhow::Result<Segment> {
    let path = path(dir, number);
    let created = || -> io::Result<Segment> {
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.set_len(0)?;
        let mut segment = Segment { number, file, length: 0 };
        segment.append(&[state.snapshot()])?;
        // The name must survive a crash as well.
        File::open(dir)?.sync_all()?;
        Ok(segment)
    };
    created().with_context(|| format!("can't create {}", path.display()))
}

fn segment_numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{EXTENSION}"))
}

#[cfg(test)]
mod tests;
