//! Where everything lies in the state directory.

use std::path::{Path, PathBuf};

/// Names of the files and directories of one agent. `volatile` is a tmpfs: secrets lie there and nowhere else.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The layout under `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// One record per placement.
    pub fn placements(&self) -> PathBuf {
        self.root.join("placements")
    }

    /// The tmpfs.
    pub fn volatile(&self) -> PathBuf {
        self.root.join("volatile")
    }

    /// Secret inputs, one file per placement, on the tmpfs.
    pub fn secret_inputs(&self) -> PathBuf {
        self.volatile().join("inputs")
    }

    /// The usage journal.
    pub fn usage(&self) -> PathBuf {
        self.root.join("usage")
    }

    /// What a pod keeps on disk; goes with the pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// What a pod keeps on the tmpfs; goes with the pod.
    pub fn pod_volatile(&self, uid: &str) -> PathBuf {
        self.volatile().join("pods").join(uid)
    }

    /// An emptyDir on disk.
    pub fn empty_dir(&self, uid: &str, volume: &str) -> PathBuf {
        self.pod(uid).join("empty").join(volume)
    }

    /// An emptyDir in memory: the mount point of its own tmpfs.
    pub fn memory_dir(&self, uid: &str, volume: &str) -> PathBuf {
        self.pod(uid).join("memory").join(volume)
    }

    /// A volume made of ConfigMaps, Secrets, tokens or the downward API.
    pub fn payload_dir(&self, uid: &str, volume: &str) -> PathBuf {
        self.pod_volatile(uid).join("volumes").join(volume)
    }

    /// The pod's `/etc/hosts`.
    pub fn hosts_file(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Where a container may leave its last words.
    pub fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("termination").join(format!("{container}_{attempt}"))
    }

    /// The last status reported, for what it alone remembers (times of transitions).
    pub fn status_file(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("status.json")
    }

    /// The pod's container logs, as the CRI wants them.
    pub fn logs(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.root.join("logs").join(format!("{namespace}_{name}_{uid}"))
    }

    /// All log directories.
    pub fn all_logs(&self) -> PathBuf {
        self.root.join("logs")
    }
}

/// A container's log file within the pod's log directory.
pub fn log_name(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}
