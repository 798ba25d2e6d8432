//! A private containerd with one image, gone when the test is.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The image every test uses: busybox, under `/bin`.
pub(crate) const IMAGE: &str = "registry.test/busybox:1";

pub(crate) struct Containerd {
    pub(crate) dir: PathBuf,
    pub(crate) netns: String,
    process: Child,
}

pub(crate) fn run(command: &str) -> String {
    let output = Command::new("sh").arg("-ec").arg(command).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

impl Containerd {
    pub(crate) fn start() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test runs containers: run it as root");
        let id = format!("{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = PathBuf::from(format!("/tmp/agent-{id}"));
        let netns = format!("agt{id}");
        std::fs::create_dir_all(dir.join("cni")).unwrap();
        run(&format!(
            "ip netns add {netns}; ip -n {netns} link set lo up; ip -n {netns} link add eth0 type bridge; \
             ip -n {netns} addr add 172.30.0.11/24 dev eth0; ip -n {netns} link set eth0 up"
        ));
        let bin = dir.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_hako-cni"), bin.join("hako-cni")).unwrap();
        symlink("/usr/lib/cni/loopback", bin.join("loopback")).unwrap();
        std::fs::write(dir.join("cni/10-hako.conflist"), node_agent::network::conflist(&dir.join("cni.sock"))).unwrap();
        std::fs::write(dir.join("containerd.toml"), config(&dir)).unwrap();
        let log = std::fs::File::create(dir.join("containerd.log")).unwrap();
        let process = Command::new("/usr/bin/containerd")
            .arg("--config")
            .arg(dir.join("containerd.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let containerd = Self { dir, netns, process };
        let end = Instant::now() + Duration::from_secs(20);
        while !containerd.socket().exists() || !containerd.ctr("version") {
            assert!(Instant::now() < end, "containerd does not start: {}", containerd.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let archive = image(&containerd.dir);
        assert!(containerd.ctr(&format!("-n k8s.io images import {}", archive.display())), "{}", containerd.log());
        containerd
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("containerd.log")).unwrap_or_default()
    }

    fn ctr(&self, arguments: &str) -> bool {
        let status = Command::new("/usr/bin/ctr")
            .arg("--address")
            .arg(self.socket())
            .args(arguments.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|s| s.success())
    }
}

impl Drop for Containerd {
    /// Takes everything away by what it has in common: the directory in its command lines and mounts.
    fn drop(&mut self) {
        let dir = self.dir.display().to_string();
        let state = format!("{dir}/state");
        let kill = |own: &str| {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                let pid = process.file_name().to_string_lossy().parse::<i32>();
                if let Ok(pid) = pid.map(nix::unistd::Pid::from_raw)
                    && line.contains(own)
                {
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
                }
            }
        };
        // Containers first: without their shim nobody would reap them. They are found by their cgroups.
        for cgroup in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
            let root = Path::new(cgroup).join(format!("hako-{}", self.netns));
            kill_cgroup(&root);
        }
        kill(&format!("containerd-shim-runc-v2 -namespace k8s.io -address {dir}"));
        kill(&format!("-address {dir}/containerd.sock"));
        let _ = self.process.kill();
        let _ = self.process.wait();
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..3 {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let mut points: Vec<&str> = mounts.lines().filter_map(|l| l.split(' ').nth(4)).collect();
            points.reverse();
            for point in points.into_iter().filter(|p| p.starts_with(&format!("{dir}/"))) {
                let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
            }
        }
        node_agent::cgroup::remove(&format!("/hako-{}", self.netns));
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).stderr(Stdio::null()).status();
        let _ = (state, std::fs::remove_dir_all(&self.dir));
    }
}

fn kill_cgroup(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            kill_cgroup(&entry.path());
        }
    }
    let tasks = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in tasks.lines().filter_map(|l| l.parse::<i32>().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    }
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"
version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{dir}/bin"
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{dir}/runc"
"#
    )
}

/// Makes a docker archive of one layer: busybox and its names. The sandbox sleeps with it, too.
fn image(dir: &Path) -> PathBuf {
    let work = dir.join("image");
    let root = work.join("root/bin");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::copy("/bin/busybox", root.join("busybox")).unwrap();
    for name in run("/bin/busybox --list").lines().filter(|n| *n != "busybox") {
        symlink("busybox", root.join(name)).unwrap();
    }
    for name in ["etc", "tmp", "proc", "sys", "dev", "data"] {
        std::fs::create_dir_all(work.join("root").join(name)).unwrap();
    }
    std::fs::write(work.join("root/etc/passwd"), "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n").unwrap();
    run(&format!("cd {} && tar -C root -cf layer.tar .", work.display()));
    let sum = run(&format!("sha256sum {}/layer.tar", work.display()));
    let digest = sum.split_whitespace().next().unwrap();
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "2000000000"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    std::fs::write(work.join("config.json"), config.to_string()).unwrap();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    std::fs::write(work.join("manifest.json"), manifest.to_string()).unwrap();
    run(&format!("cd {} && tar -cf ../image.tar manifest.json config.json layer.tar", work.display()));
    dir.join("image.tar")
}
