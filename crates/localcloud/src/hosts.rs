//! Hosts: each has its own containerd in its own network namespace, and the node agent beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;

use crate::command::{find, succeeds};
use crate::fabric::Fabric;
use crate::layout::Layout;
use crate::process::{self, Spec};
use crate::registry;

/// Where Debian puts the CNI reference plugins; containerd needs `loopback` of them.
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// Snapshotters that need devices or file systems which a host need not have.
const UNUSED: &[&str] = &["aufs", "btrfs", "devmapper", "zfs"];

/// Name of host `number`'s containerd process.
pub(crate) fn containerd_name(number: u8) -> String {
    format!("containerd-{number}")
}

/// Host `number`'s CRI socket.
pub(crate) fn containerd_socket(layout: &Layout, number: u8) -> PathBuf {
    layout.host_run(number).join("containerd.sock")
}

/// The agent's socket that the CNI plugin asks.
pub(crate) fn cni_socket(layout: &Layout, number: u8) -> PathBuf {
    layout.host_run(number).join("cni.sock")
}

/// Starts host `number`'s containerd if it does not run, and waits until its CRI socket is there.
pub(crate) fn containerd_up(
    layout: &Layout,
    fabric: Fabric,
    number: u8,
    binaries: &Path,
    logger: &Path,
) -> anyhow::Result<()> {
    let name = containerd_name(number);
    let socket = containerd_socket(layout, number);
    if process::pid(layout, &name).is_none() {
        let config = configure(layout, fabric, number, binaries)?;
        let _ = std::fs::remove_file(&socket);
        let program = find("containerd").context("containerd is not installed")?;
        let spec = Spec {
            name: name.clone(),
            program,
            arguments: vec!["--config".into(), config.display().to_string()],
            environment: Vec::new(),
            namespace: Some(layout.namespace(number)),
            user: None,
            logger: logger.to_owned(),
        };
        process::start(layout, &spec)?;
    }
    let there = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    let lives = || process::pid(layout, &name).is_some();
    process::wait(Duration::from_secs(60), || there() || !lives());
    if !there() {
        bail!("{name} does not serve {}; its log ends with\n{}", socket.display(), process::log_tail(layout, &name));
    }
    Ok(())
}

/// Writes containerd's configuration, its registry and CNI settings.
fn configure(layout: &Layout, fabric: Fabric, number: u8, binaries: &Path) -> anyhow::Result<PathBuf> {
    let (home, run) = (layout.host(number), layout.host_run(number));
    for directory in [home.join("containerd"), home.join("cni/bin"), home.join("cni/net.d"), run.clone()] {
        std::fs::create_dir_all(&directory)?;
    }
    link(&binaries.join("hako-cni"), &home.join("cni/bin/hako-cni"))?;
    link(&Path::new(CNI_PLUGINS).join("loopback"), &home.join("cni/bin/loopback"))?;
    let plugin = serde_json::json!({
        "cniVersion": "1.0.0", "name": "hako",
        "plugins": [{"type": "hako-cni", "socket": cni_socket(layout, number)}],
    });
    std::fs::write(home.join("cni/net.d/10-hako.conflist"), plugin.to_string())?;
    let registry = registry::address(fabric);
    let certs = home.join(format!("certs.d/{registry}"));
    std::fs::create_dir_all(&certs)?;
    let host = format!(
        "server = \"http://{registry}\"\n\n[host.\"http://{registry}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    std::fs::write(certs.join("hosts.toml"), host)?;
    let config = home.join("containerd.toml");
    std::fs::write(&config, containerd_toml(&home, &run, registry))?;
    Ok(config)
}

fn containerd_toml(home: &Path, run: &Path, registry: SocketAddr) -> String {
    let disabled: Vec<String> = UNUSED.iter().map(|s| format!("\"io.containerd.snapshotter.v1.{s}\"")).collect();
    let (home, run) = (home.display(), run.display());
    format!(
        r#"# Written by localcloud at every start of the host.
version = 2
root = "{home}/containerd"
state = "{run}/containerd"
disabled_plugins = [{disabled}, "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{run}/containerd.sock"

[debug]
level = "warn"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{registry}/pause:1"
disable_tcp_service = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
netns_mounts_under_state_dir = true
tolerate_missing_hugetlb_controller = true
disable_hugetlb_controller = true
restrict_oom_score_adj = true
max_container_log_line_size = 262144

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
# Layers are kept as snapshots alone: their packed blobs are not needed again.
discard_unpacked_layers = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{run}/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{home}/cni/bin"
conf_dir = "{home}/cni/net.d"
max_conf_num = 1

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{home}/certs.d"
"#,
        disabled = disabled.join(", ")
    )
}

fn link(target: &Path, link: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(link);
    std::os::unix::fs::symlink(target, link).with_context(|| format!("can't make {}", link.display()))
}

/// Ends all pods of a host whose agent is stopped: asks their processes, then ends sandboxes and shims, then containerd.
pub(crate) fn down(layout: &Layout, number: u8) {
    let cgroup = layout.cgroup(number);
    signal_all(&members(&cgroup), Signal::SIGTERM);
    process::wait(Duration::from_secs(3), || members(&cgroup).is_empty());
    signal_all(&members(&cgroup), Signal::SIGKILL);
    process::wait(Duration::from_secs(5), || members(&cgroup).is_empty());
    process::stop(layout, &containerd_name(number), Signal::SIGTERM, Duration::from_secs(10));
    signal_all(&shims(&containerd_socket(layout, number)), Signal::SIGKILL);
    process::wait(Duration::from_secs(5), || shims(&containerd_socket(layout, number)).is_empty());
}

/// Shims of the containerd behind `socket`: they name it on their command line.
fn shims(socket: &Path) -> Vec<i32> {
    let socket = socket.as_os_str().as_encoded_bytes();
    processes()
        .filter(|pid| {
            let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
            let mut words = line.split(|b| *b == 0);
            let is_shim = words.next().is_some_and(|w| w.ends_with(b"containerd-shim-runc-v2"));
            is_shim && words.any(|w| w == socket)
        })
        .collect()
}

fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal);
    }
}

/// All processes in a cgroup and below it, in any hierarchy.
fn members(cgroup: &str) -> Vec<i32> {
    let mut pids = Vec::new();
    for directory in directories(cgroup) {
        let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|pid| *pid > 1));
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Removes a cgroup and all below it, in every hierarchy.
pub(crate) fn remove_cgroup(cgroup: &str) {
    for directory in directories(cgroup) {
        // Children come first in the list; a busy one stays, and is tried again by the next `down`.
        let _ = std::fs::remove_dir(directory);
    }
}

/// A cgroup's directories in all mounted hierarchies, deepest first.
fn directories(cgroup: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut found = Vec::new();
    for mount in mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        kind.starts_with("cgroup").then_some(path)
    }) {
        collect(&Path::new(mount).join(cgroup.trim_start_matches('/')), &mut found);
    }
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        collect(&entry.path(), found);
    }
    found.push(directory.to_owned());
}

/// Unmounts everything below `directory`, innermost first.
pub(crate) fn unmount_below(directory: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut below: Vec<String> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        // Spaces and backslashes in paths are written in octal (fstab(5)); ours come from a canonical path.
        .map(|path| path.replace("\\040", " ").replace("\\134", "\\"))
        .filter(|path| Path::new(path).starts_with(directory) && Path::new(path) != directory)
        .collect();
    below.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in below {
        let path = Path::new(&path);
        if nix::mount::umount(path).is_err() {
            let _ = nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// Cuts host `number` off from the others and the services, or joins it again.
pub(crate) fn connect(layout: &Layout, number: u8, joined: bool) -> anyhow::Result<()> {
    let state = if joined { "up" } else { "down" };
    anyhow::ensure!(
        succeeds(&format!("ip link set {} {state}", layout.cable(number))),
        "host {number} has no cable {}",
        layout.cable(number)
    );
    Ok(())
}
