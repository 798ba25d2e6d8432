//! What a caller decides about a cloud.

use std::path::{Path, PathBuf};

/// How a local cloud is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory that keeps everything; clouds with different ones are apart in everything.
    pub state: PathBuf,
    /// Number of hosts.
    pub hosts: u8,
    /// Directory with our programs, as cargo leaves them: `target/debug` or `target/release`.
    pub binaries: PathBuf,
    /// The repository: sources of the images are below it.
    pub workspace: PathBuf,
    /// Directory with kubectl and helm, shared by all clouds.
    pub cache: PathBuf,
    /// Whether progress is told on stderr.
    pub verbose: bool,
    /// Extra tables or keys for services' configuration files, by service: merged over what is generated.
    pub overrides: Vec<(String, toml::Table)>,
}

impl Options {
    /// Two hosts, programs built in the dev profile, the workspace's cache (or `HAKO_CACHE`).
    pub fn new(state: impl Into<PathBuf>) -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let workspace = workspace.canonicalize().unwrap_or(workspace);
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let target = variable("CARGO_TARGET_DIR").unwrap_or_else(|| workspace.join("target"));
        Self {
            state: state.into(),
            hosts: 2,
            binaries: target.join("debug"),
            cache: variable("HAKO_CACHE").unwrap_or_else(|| workspace.join(".hako/cache")),
            workspace,
            verbose: true,
            overrides: Vec::new(),
        }
    }

    /// Uses the programs of the release profile.
    pub fn release(mut self) -> Self {
        self.binaries.set_file_name("release");
        self
    }

    /// Adds settings to one service's configuration file, for tests: `("control", toml)`.
    pub fn with(mut self, service: &str, settings: toml::Table) -> Self {
        self.overrides.push((service.to_owned(), settings));
        self
    }

    pub(crate) fn say(&self, text: &str) {
        if self.verbose {
            eprintln!("hako: {text}");
        }
    }
}
