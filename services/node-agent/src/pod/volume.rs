//! Volumes: what they hold (pure), and putting it where containers find it.

mod payload;
mod writer;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use domain::Quantity;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Volume};

pub use payload::{File, payload};

use crate::paths::Paths;
use crate::placement::Desired;
use crate::pod::downward::Facts;
use crate::pod::resources;

/// Why a volume is not there; the event `FailedMount` carries it.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {reason}")]
pub struct VolumeError {
    /// The volume's name.
    pub volume: String,
    /// Why, for the pod's owner.
    pub reason: String,
}

/// Kind of a volume that a virtual node cannot give, if it is one.
pub fn refused(volume: &Volume) -> Option<&'static str> {
    let fine = volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some();
    if fine {
        return None;
    }
    Some(if volume.host_path.is_some() {
        "hostPath"
    } else if volume.persistent_volume_claim.is_some() {
        "persistentVolumeClaim"
    } else if volume.ephemeral.is_some() {
        "ephemeral"
    } else if volume.csi.is_some() {
        "csi"
    } else if volume.nfs.is_some() {
        "nfs"
    } else if volume.image.is_some() {
        "image"
    } else {
        // A volume without any source is an emptyDir to the API server; it never comes here without one.
        "this kind of"
    })
}

/// Where a volume lies on the host.
pub fn host_path(paths: &Paths, uid: &str, volume: &Volume) -> PathBuf {
    match &volume.empty_dir {
        Some(source) if in_memory(source) => paths.memory_dir(uid, &volume.name),
        Some(_) => paths.empty_dir(uid, &volume.name),
        None => paths.payload_dir(uid, &volume.name),
    }
}

fn in_memory(source: &EmptyDirVolumeSource) -> bool {
    source.medium.as_deref().is_some_and(|m| m == "Memory" || m.starts_with("HugePages"))
}

/// Makes all volumes of a pod, or brings them up to date; safe to repeat.
///
/// # Errors
/// The first one; the other volumes are there nevertheless, as each follows its own objects.
pub fn prepare(paths: &Paths, desired: &Desired, facts: &Facts) -> Result<(), VolumeError> {
    let mut result = Ok(());
    for volume in desired.spec().volumes.iter().flatten() {
        let made = prepare_one(paths, desired, volume, facts);
        result = result.and(made.map_err(|reason| VolumeError { volume: volume.name.clone(), reason }));
    }
    result
}

fn prepare_one(paths: &Paths, desired: &Desired, volume: &Volume, facts: &Facts) -> Result<(), String> {
    let fs_group = desired.spec().security_context.as_ref().and_then(|s| s.fs_group);
    let path = host_path(paths, desired.uid(), volume);
    let made = match &volume.empty_dir {
        Some(source) => empty_dir(&path, source, memory_size(source, desired), fs_group),
        None => {
            let files = payload(desired, volume, facts)?;
            fs::create_dir_all(&path).and_then(|()| writer::write(&path, &files, fs_group))
        }
    };
    made.map_err(|error| error.to_string())
}

/// Bytes that an emptyDir in memory may take: what it says, and never more than the whole pod.
/// Source: the kubelet's `SizeMemoryBackedVolumes`.
fn memory_size(source: &EmptyDirVolumeSource, desired: &Desired) -> Option<u64> {
    let own = source.size_limit.as_ref().and_then(|q| Quantity::parse(&q.0).ok()).map(Quantity::units);
    let pod = u64::try_from(resources::pod(desired).memory_limit_in_bytes).ok();
    own.into_iter().chain(pod).filter(|bytes| *bytes > 0).min()
}

fn empty_dir(path: &Path, source: &EmptyDirVolumeSource, size: Option<u64>, fs_group: Option<i64>) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    if in_memory(source) && !is_mount_point(path)? {
        mount_tmpfs(path, size, 0o777)?;
    }
    let mut mode = 0o777;
    if let Some(group) = fs_group {
        chown(path, None, Some(u32::try_from(group).unwrap_or(0)))?;
        mode |= 0o2000;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Mounts an own tmpfs at `path`, which exists.
///
/// # Errors
/// If the kernel refuses.
pub fn mount_tmpfs(path: &Path, size_bytes: Option<u64>, mode: u32) -> io::Result<()> {
    use nix::mount::{MsFlags, mount};
    let size = size_bytes.map(|s| format!(",size={s}")).unwrap_or_default();
    let options = format!("mode={mode:o}{size}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str())).map_err(io::Error::from)
}

/// Whether something is mounted at `path`.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    let path = path.to_string_lossy();
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().any(|line| line.split(' ').nth(4) == Some(path.as_ref())))
}

/// Takes all volumes of a pod away, and keeps what else there is of it; safe to repeat.
///
/// # Errors
/// If something is still in use; the rest may be gone.
pub fn release(paths: &Paths, uid: &str) -> io::Result<()> {
    use nix::mount::{MntFlags, umount2};
    let memory = paths.pod(uid).join("memory");
    if let Ok(entries) = fs::read_dir(&memory) {
        for entry in entries.flatten() {
            while is_mount_point(&entry.path())? {
                umount2(&entry.path(), MntFlags::MNT_DETACH)?;
            }
        }
    }
    for dir in [memory, paths.pod(uid).join("empty"), paths.pod_volatile(uid)] {
        remove_dir(&dir)?;
    }
    Ok(())
}

/// Takes all volumes and everything else of a pod away; safe to repeat.
///
/// # Errors
/// As [`release`].
pub fn remove(paths: &Paths, uid: &str) -> io::Result<()> {
    release(paths, uid)?;
    remove_dir(&paths.pod(uid))
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::desired;
    use serde_json::json;

    #[test]
    fn memory_volumes_are_no_larger_than_their_pod() {
        let pod = desired(json!({"containers": [{"name": "c"}]}));
        let size = |limit: Option<&str>| {
            let source = json!({"medium": "Memory", "sizeLimit": limit});
            memory_size(&serde_json::from_value(source).unwrap(), &pod)
        };
        assert_eq!((size(None), size(Some("2Mi")), size(Some("9Gi"))), (Some(1 << 30), Some(2 << 20), Some(1 << 30)));
    }
}
