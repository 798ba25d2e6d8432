//! The pod's own cgroup, in which its sandbox and containers lie: cgroup v1 (one tree per controller) and v2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cri::v1::LinuxContainerResources;

const ROOT: &str = "/sys/fs/cgroup";
const V1: [&str; 2] = ["cpu", "memory"];

/// Path of a pod's cgroup, as the CRI takes it.
pub fn pod_path(root: &str, uid: &str) -> String {
    format!("{}/pod{uid}", root.trim_end_matches('/'))
}

fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn directory(controller: &str, path: &str) -> PathBuf {
    Path::new(ROOT).join(controller).join(path.trim_start_matches('/'))
}

/// Makes the cgroup with the pod's limits; safe to repeat.
///
/// # Errors
/// If the kernel refuses; the pod would run without its limits.
pub fn create(path: &str, limits: &LinuxContainerResources) -> io::Result<()> {
    if is_v2() { create_v2(path, limits) } else { create_v1(path, limits) }
}

fn create_v1(path: &str, limits: &LinuxContainerResources) -> io::Result<()> {
    for controller in V1 {
        fs::create_dir_all(directory(controller, path))?;
    }
    let cpu = directory("cpu", path);
    if limits.cpu_shares > 0 {
        fs::write(cpu.join("cpu.shares"), limits.cpu_shares.to_string())?;
    }
    if limits.cpu_quota > 0 {
        fs::write(cpu.join("cpu.cfs_period_us"), limits.cpu_period.to_string())?;
        fs::write(cpu.join("cpu.cfs_quota_us"), limits.cpu_quota.to_string())?;
    }
    if limits.memory_limit_in_bytes > 0 {
        let limit = limits.memory_limit_in_bytes.to_string();
        fs::write(directory("memory", path).join("memory.limit_in_bytes"), limit)?;
    }
    Ok(())
}

fn create_v2(path: &str, limits: &LinuxContainerResources) -> io::Result<()> {
    let dir = directory("", path);
    fs::create_dir_all(&dir)?;
    let mut parent = PathBuf::from(ROOT);
    for part in Path::new(path.trim_start_matches('/')).components() {
        for controller in ["+cpu", "+memory", "+pids", "+io", "+cpuset"] {
            // Not every kernel has every controller; cpu and memory are checked by the writes below.
            let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
        }
        parent.push(part);
    }
    if limits.cpu_shares > 0 {
        let weight = 1 + (limits.cpu_shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
        fs::write(dir.join("cpu.weight"), weight.to_string())?;
    }
    if limits.cpu_quota > 0 {
        fs::write(dir.join("cpu.max"), format!("{} {}", limits.cpu_quota, limits.cpu_period))?;
    }
    if limits.memory_limit_in_bytes > 0 {
        fs::write(dir.join("memory.max"), limits.memory_limit_in_bytes.to_string())?;
    }
    Ok(())
}

/// Removes the cgroup from every controller's tree; what still has processes stays. Safe to repeat.
pub fn remove(path: &str) {
    if is_v2() {
        remove_tree(&directory("", path));
        return;
    }
    let Ok(controllers) = fs::read_dir(ROOT) else { return };
    for controller in controllers.flatten() {
        remove_tree(&directory(&controller.file_name().to_string_lossy(), path));
    }
}

/// cgroups are removed one by one, leaves first; their files go with them.
fn remove_tree(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    if let Err(error) = fs::remove_dir(dir) {
        tracing::debug!(path = %dir.display(), %error, "cgroup stays");
    }
}
