//! What was asked of this host, on disk: one record per placement, so that the agent works without control.
//!
//! Invariant: secret inputs are written to the tmpfs only; the record on disk holds their count, not their data.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use proto::fleet::{Input, Placement};

use crate::paths::Paths;
use crate::placement::{Removal, is_secret};

/// One placement as stored.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// As received; in the file without secret inputs.
    #[prost(message, optional, tag = "1")]
    pub placement: Option<Placement>,
    /// When it was first heard of, Unix milliseconds.
    #[prost(int64, tag = "2")]
    pub accepted_ms: i64,
    /// Set once it must go.
    #[prost(message, optional, tag = "3")]
    pub removal: Option<Removal>,
    /// Nothing of it is left here; kept until control says `forget`.
    #[prost(bool, tag = "4")]
    pub removed: bool,
    /// Last PodStatus as JSON; kept for removed placements.
    #[prost(bytes = "bytes", tag = "5")]
    pub final_status: Bytes,
    /// How many secret inputs lie on the tmpfs.
    #[prost(uint32, tag = "6")]
    pub secret_inputs: u32,
    /// False if the tmpfs lost them (a reboot).
    #[prost(bool, tag = "7")]
    pub incomplete: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SecretInputs {
    #[prost(message, repeated, tag = "1")]
    inputs: Vec<Input>,
}

/// The records on disk.
#[derive(Debug, Clone)]
pub struct Store {
    placements: PathBuf,
    secrets: PathBuf,
}

impl Store {
    /// Opens the store; makes its directories. The tmpfs must be mounted.
    ///
    /// # Errors
    /// If the directories cannot be made.
    pub fn open(paths: &Paths) -> io::Result<Self> {
        let store = Self { placements: paths.placements(), secrets: paths.secret_inputs() };
        for dir in [&store.placements, &store.secrets] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        Ok(store)
    }

    /// Reads all records. Unreadable ones are reported and left out: control's Sync brings them again.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.placements)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "tmp") {
                let _ = fs::remove_file(&path);
                continue;
            }
            match fs::read(&path).map(|bytes| Record::decode(bytes.as_slice())) {
                Ok(Ok(mut record)) => {
                    self.add_secrets(&mut record);
                    records.push(record);
                }
                Ok(Err(error)) => tracing::error!(path = %path.display(), %error, "placement record is broken"),
                Err(error) => tracing::error!(path = %path.display(), %error, "placement record cannot be read"),
            }
        }
        Ok(records)
    }

    fn add_secrets(&self, record: &mut Record) {
        let expected = record.secret_inputs;
        let Some(placement) = &mut record.placement else { return };
        if expected == 0 || record.removed {
            return;
        }
        let found = fs::read(self.secrets.join(&placement.uid)).ok();
        let found = found.and_then(|bytes| SecretInputs::decode(bytes.as_slice()).ok()).unwrap_or_default();
        record.incomplete = found.inputs.len() != expected as usize;
        placement.inputs.extend(found.inputs);
    }

    /// Writes a record; it is on disk when this returns.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let mut record = record.clone();
        let Some(placement) = &mut record.placement else { return Ok(()) };
        let uid = file_name(&placement.uid)?.to_owned();
        let (secret, plain): (Vec<_>, Vec<_>) = std::mem::take(&mut placement.inputs).into_iter().partition(is_secret);
        placement.inputs = plain;
        if !record.incomplete {
            record.secret_inputs = u32::try_from(secret.len()).unwrap_or(u32::MAX);
            replace(&self.secrets.join(&uid), &SecretInputs { inputs: secret }.encode_to_vec())?;
        }
        replace(&self.placements.join(&uid), &record.encode_to_vec())?;
        File::open(&self.placements)?.sync_all()
    }

    /// Drops what was kept of a placement's secrets; it has ended.
    pub fn drop_secrets(&self, uid: &str) {
        let _ = fs::remove_file(self.secrets.join(uid));
    }

    /// Forgets a placement; safe to repeat.
    pub fn delete(&self, uid: &str) {
        for path in [self.placements.join(uid), self.secrets.join(uid)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(path = %path.display(), %error, "placement record cannot be removed");
                }
                _ => {}
            }
        }
    }
}

/// A uid that is safe as a file name.
fn file_name(uid: &str) -> io::Result<&str> {
    let fine = !uid.is_empty() && uid.len() <= 128 && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fine { Ok(uid) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "a pod uid that is no file name")) }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::fleet::input::Kind;
    use std::collections::BTreeMap;

    fn record(uid: &str) -> Record {
        let input = |kind: Kind, name: &str, value: &'static str| Input {
            kind: kind as i32,
            name: name.to_owned(),
            data: BTreeMap::from([("k".to_owned(), Bytes::from_static(value.as_bytes()))]),
            ..Default::default()
        };
        let inputs = vec![input(Kind::ConfigMap, "c", "plain-text"), input(Kind::Secret, "s", "hush-hush")];
        let placement = Placement { uid: uid.to_owned(), inputs, ..Default::default() };
        Record { placement: Some(placement), accepted_ms: 7, ..Default::default() }
    }

    fn open(name: &str) -> (PathBuf, Store) {
        let dir = std::env::temp_dir().join(format!("agent-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let store = Store::open(&Paths::new(&dir)).unwrap();
        (dir, store)
    }

    #[test]
    fn secrets_come_back_but_never_lie_in_the_record() {
        let (dir, store) = open("secret");
        store.save(&record("u-1")).unwrap();
        let on_disk = fs::read(dir.join("placements/u-1")).unwrap();
        assert!(!on_disk.windows(9).any(|w| w == b"hush-hush"));
        assert!(on_disk.windows(10).any(|w| w == b"plain-text"));
        let loaded = store.load().unwrap();
        assert_eq!(loaded[0].placement.as_ref().unwrap().inputs.len(), 2);
        assert!(!loaded[0].incomplete);
        fs::remove_file(dir.join("volatile/inputs/u-1")).unwrap();
        assert!(store.load().unwrap()[0].incomplete);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_uid_cannot_leave_the_directory() {
        let (dir, store) = open("escape");
        assert!(store.save(&record("../x")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
