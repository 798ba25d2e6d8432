//! What a bare machine lacks: Debian's packages, and capabilities that no package gives.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::command::{find, line, succeeds};

/// A package and what tells that it is there: a program or a file.
const PACKAGES: &[(&str, &str)] = &[
    // Builds the allocator of control and gateway.
    ("make", "make"),
    ("postgresql-15", "/usr/lib/postgresql/15/bin/postgres"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/loopback"),
    ("docker-registry", "docker-registry"),
    // The package's folder tells it from the dynamic `busybox`, which would not run in an empty image.
    ("busybox-static", "/usr/share/doc/busybox-static"),
    ("nftables", "nft"),
    ("iproute2", "ip"),
    ("util-linux", "nsenter"),
    ("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    // The clients' wheels are fetched by pip and unpacked by Python; OCI's live in a virtual environment.
    ("python3", "python3"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
];
/// Debian's packages start these; here they are only programs that each cloud runs for itself.
const SERVICES: &[&str] = &["postgresql", "containerd", "docker-registry"];

/// Installs what is missing, with apt. Nothing to do: nothing is run.
///
/// # Errors
/// If apt is not there or fails: says which packages are to be installed, and how.
pub fn install(say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let mut missing: Vec<&str> = PACKAGES.iter().filter(|(_, sign)| !present(sign)).map(|(name, _)| *name).collect();
    if find("pip").is_none() && find("pip3").is_none() {
        missing.push("python3-pip");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(nix::unistd::getuid().is_root(), "these packages are missing: {list}. As root: apt-get install {list}");
    ensure!(find("apt-get").is_some(), "these programs are missing, and this is no Debian: {list}");
    say(&format!("installing {list}"));
    keep_services_off(&missing)?;
    if !succeeds(&format!("apt-get -qq --no-install-recommends -y --simulate install {list}")) {
        apt(&["update"]).context("apt-get update failed: are Debian's package sources reachable?")?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments).with_context(|| format!("can't install {list}: try apt-get install {list}"))?;
    let left: Vec<&str> = PACKAGES.iter().filter(|(_, sign)| !present(sign)).map(|(name, _)| *name).collect();
    ensure!(left.is_empty(), "installed, but not found: {}", left.join(" "));
    Ok(())
}

fn present(sign: &str) -> bool {
    if sign.starts_with('/') { Path::new(sign).exists() } else { find(sign).is_some() }
}

/// No main database cluster is made, and no service is started by the packages' scripts.
fn keep_services_off(missing: &[&str]) -> anyhow::Result<()> {
    if missing.contains(&"postgresql-15") {
        let directory = Path::new("/etc/postgresql-common");
        std::fs::create_dir_all(directory)?;
        let file = directory.join("createcluster.conf");
        if !file.exists() {
            std::fs::write(&file, "create_main_cluster = false\n")?;
        }
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    // invoke-rc.d asks this script: 101 forbids starting a service. An existing one is left alone.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists();
    if ours {
        let mut file = std::fs::File::create(policy)?;
        writeln!(file, "#!/bin/sh\n# hakobune: keep {} off while installing\nexit 101", SERVICES.join(", "))?;
        std::os::unix::fs::PermissionsExt::set_mode(&mut file.metadata()?.permissions(), 0o755);
        drop(file);
        line("chmod 755 /usr/sbin/policy-rc.d")?;
    }
    let output = Command::new("apt-get")
        .args(["-qq", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output();
    if ours {
        let _ = std::fs::remove_file(policy);
    }
    let output = output?;
    if !output.status.success() {
        bail!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Checks what no package gives: root, namespaces, overlayfs, nftables, cgroups.
///
/// # Errors
/// Names the first thing that is missing and what to do.
pub fn check_capabilities() -> anyhow::Result<()> {
    ensure!(nix::unistd::getuid().is_root(), "run this as root: it makes network namespaces and mounts");
    let probe = format!("hako-probe-{}", std::process::id());
    let namespace = line(&format!("ip netns add {probe}"));
    succeeds(&format!("ip netns delete {probe}"));
    namespace.context("network namespaces don't work here: CAP_SYS_ADMIN and CONFIG_NET_NS are needed")?;
    let bridge = format!("hkp{}", std::process::id());
    let made = line(&format!("ip link add {bridge} type bridge"));
    succeeds(&format!("ip link delete {bridge}"));
    made.context("bridges don't work here: CAP_NET_ADMIN and the kernel's bridge module are needed (modprobe bridge)")?;
    line("nft list tables").context("nftables does not work here: the kernel's nf_tables module is needed")?;
    let systems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let overlay = systems.lines().any(|l| l.trim_start_matches("nodev").trim() == "overlay");
    ensure!(overlay || succeeds("modprobe overlay"), "overlayfs is missing: load the kernel's overlay module");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let cgroups = mounts.lines().any(|l| l.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup")));
    ensure!(cgroups, "no cgroups are mounted at /sys/fs/cgroup: mount -t cgroup2 none /sys/fs/cgroup");
    Ok(())
}
