//! Where everything of one local cloud is: files, addresses, names. Derived from the state directory alone.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Port of the gateway on the bridge address.
pub const GATEWAY_PORT: u16 = 6443;
/// Port of control's HTTPS listener on the bridge address.
pub const CONTROL_PORT: u16 = 7443;
/// Port of control's gRPC listener on the bridge address.
pub const CONTROL_GRPC_PORT: u16 = 7444;
/// Port of billing's HTTPS listener on the bridge address.
pub const BILLING_PORT: u16 = 7543;
/// Port of billing's gRPC listener on the bridge address.
pub const BILLING_GRPC_PORT: u16 = 7544;
/// Port of the virtual kubelet's API on the bridge address.
pub const KUBELET_PORT: u16 = 10250;
/// Port of the image registry on the bridge address.
pub const REGISTRY_PORT: u16 = 5000;
/// Port of S3 on the cloud's loopback address.
pub const S3_PORT: u16 = 9000;
/// Port of PostgreSQL on the cloud's loopback address.
pub const POSTGRES_PORT: u16 = 5432;

/// Suffix of the clusters' own host names. No name server knows it; names below `localhost` are nobody else's.
pub const CLUSTER_DOMAIN: &str = "clusters.localhost";
/// The region's name, as it is in OCIDs.
pub const REGION: &str = "local-1";

/// The names and paths of one cloud.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The state directory, canonical. Survives `down`.
    pub(crate) state: PathBuf,
    /// Eight hexadecimal digits that stand for the state directory in names of interfaces and namespaces.
    pub(crate) id: String,
    /// Sockets, pid files and mounts: gone after `down`, and after a reboot.
    pub(crate) run: PathBuf,
}

impl Layout {
    /// The layout for a state directory, which is made if it is absent.
    pub(crate) fn new(state: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(state).with_context(|| format!("can't make {}", state.display()))?;
        let state = state.canonicalize()?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, state.as_os_str().as_encoded_bytes());
        let id: String = digest.as_ref().iter().take(4).map(|b| format!("{b:02x}")).collect();
        let run = Path::new("/run/hako").join(&id);
        Ok(Self { state, id, run })
    }

    /// Makes the directories that everything else expects.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        for directory in ["bin", "config", "logs", "pki", "profiles", "oci", "hosts"] {
            std::fs::create_dir_all(self.state.join(directory))?;
        }
        std::fs::create_dir_all(self.run.join("pids"))?;
        let link = self.state.join("run");
        if std::fs::read_link(&link).ok().as_deref() != Some(self.run.as_path()) {
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(&self.run, &link)?;
        }
        Ok(())
    }

    pub(crate) fn config(&self, service: &str) -> PathBuf {
        self.state.join("config").join(format!("{service}.toml"))
    }

    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.state.join("logs").join(format!("{process}.log"))
    }

    pub(crate) fn pid_file(&self, process: &str) -> PathBuf {
        self.run.join("pids").join(process)
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.state.join("pki").join(file)
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.state.join("bin")
    }

    /// What host `number` keeps.
    pub(crate) fn host(&self, number: u8) -> PathBuf {
        self.state.join("hosts").join(number.to_string())
    }

    /// Host `number`'s sockets and mounts.
    pub(crate) fn host_run(&self, number: u8) -> PathBuf {
        self.run.join(format!("host-{number}"))
    }

    /// Name of host `number`'s network namespace.
    pub(crate) fn namespace(&self, number: u8) -> String {
        format!("hako-{}-host-{number}", self.id)
    }

    /// Name of the bridge that joins the hosts.
    pub(crate) fn bridge(&self) -> String {
        format!("hk{}", self.id)
    }

    /// Name of host `number`'s end of its cable to the bridge, in the root namespace.
    pub(crate) fn cable(&self, number: u8) -> String {
        format!("hk{}h{number}", self.id)
    }

    /// Name of our nftables table in the root namespace.
    pub(crate) fn table(&self) -> String {
        format!("hako_{}", self.id)
    }

    /// The cgroup below which all pods of host `number` are, as an absolute cgroupfs path.
    pub(crate) fn cgroup(&self, number: u8) -> String {
        format!("{}/host-{number}", self.cgroup_root())
    }

    /// The cgroup below which all pods of this cloud are.
    pub(crate) fn cgroup_root(&self) -> String {
        format!("/hako-{}", self.id)
    }

    /// Ownership for the state directory's secrets: readable by root alone.
    pub(crate) fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let fresh = path.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path).with_context(|| format!("can't write {}", path.display()))
    }
}
