//! One test's cloud.

use crate::forward::Forward;
use crate::shell::{self, Done, Running};
use localcloud::{Cloud, Options};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A cloud of its own, with the shell of its administrator. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct World {
    /// The cloud.
    pub cloud: Cloud,
    environment: BTreeMap<String, String>,
    directory: PathBuf,
    options: Options,
    /// One cloud at a time, whatever runs the tests.
    _turn: File,
}

impl World {
    /// Starts a cloud.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn up(name: &str) -> Self {
        Self::up_with(name, |options| options)
    }

    /// Starts a cloud with other settings.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn up_with(name: &str, change: impl FnOnce(Options) -> Options) -> Self {
        // Beside the programs: on a real disk, where fsync means something.
        let base = Options::new("unused").binaries.join("../e2e");
        std::fs::create_dir_all(&base).expect("the target directory can be written");
        let turn = File::create(base.join(".lock")).expect("the target directory can be written");
        turn.lock().expect("a local file can be locked");
        let directory = base.join(name);
        let mut options = change(Options::new(&directory));
        options.verbose = false;
        let remove = || Cloud::attach(options.clone()).and_then(|cloud| cloud.purge());
        if directory.exists() {
            // Left by a run that was killed.
            remove().expect("an old cloud can be removed");
        }
        let cloud = Cloud::up(options.clone()).unwrap_or_else(|error| {
            let _ = remove();
            panic!("the cloud does not start: {error:#}");
        });
        let mut environment = cloud.env();
        environment.insert("HOME".into(), directory.display().to_string());
        Self { environment, cloud, directory, options, _turn: turn }
    }

    /// Runs a script of bash, whatever comes of it.
    pub fn sh(&self, script: &str) -> Done {
        shell::run(&self.environment, script)
    }

    /// Runs a script that must succeed; gives its standard output.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let done = self.sh(script);
        assert_eq!(done.code, 0, "{script}\n--- stdout\n{}\n--- stderr\n{}", done.out, done.err);
        done.out
    }

    /// Runs a script that must fail; gives its standard error.
    ///
    /// # Panics
    /// If it succeeds.
    #[track_caller]
    pub fn fails(&self, script: &str) -> String {
        let done = self.sh(script);
        assert_ne!(done.code, 0, "this should have failed: {script}\n--- stdout\n{}", done.out);
        done.err
    }

    /// Runs a script that must succeed and print JSON.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn json(&self, script: &str) -> Value {
        let text = self.ok(script);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{script}: {error} in {text}"))
    }

    /// Starts one command that goes on.
    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(&self.environment, words)
    }

    /// Starts a port-forward to `port`, with a kubectl and a target such as `deploy/web`.
    ///
    /// # Panics
    /// If it does not begin to listen.
    #[track_caller]
    pub fn forward(&self, kubectl: &str, target: &str, port: u16) -> Forward {
        self.forward_with(&[kubectl], target, port)
    }

    /// The same with more words before `port-forward`.
    ///
    /// # Panics
    /// If it does not begin to listen.
    #[track_caller]
    pub fn forward_with(&self, kubectl: &[&str], target: &str, port: u16) -> Forward {
        let port = format!(":{port}");
        Forward::new(self.start(&[kubectl, &["port-forward", target, &port]].concat()))
    }

    /// Starts again what `down` stopped.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        Cloud::up(self.options.clone()).expect("the cloud starts again");
    }

    /// The same shell with one variable changed.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// One of the shell's variables.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn variable(&self, name: &str) -> &str {
        self.environment.get(name).expect("the variable is one of env.sh")
    }

    /// An Enhanced cluster with a pool of `nodes` virtual nodes, current in kubeconfig; gives its OCID.
    ///
    /// # Panics
    /// If it can't be made.
    #[track_caller]
    pub fn cluster(&self, name: &str, nodes: u32) -> String {
        self.ok(&format!(
            "hako cluster create {name} --type ENHANCED_CLUSTER --wait
             hako virtual-node-pool create --cluster {name} --name pool --size {nodes} --wait
             hako cluster create-kubeconfig {name}"
        ));
        let cluster = self.json(&format!("hako cluster get {name} --output json"));
        cluster["id"].as_str().expect("a cluster has an OCID").to_owned()
    }

    /// What billing says of the pods of a cluster.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    pub fn usage(&self, cluster: &str) -> Vec<Value> {
        let answer = self.json(&format!("hako usage list --cluster {cluster} --output json"));
        answer.as_array().expect("a list is an array").clone()
    }

    /// Answers of one of the databases: rows of tab-separated columns.
    ///
    /// # Panics
    /// If the statement fails.
    #[track_caller]
    pub fn sql(&self, role: &str, statement: &str) -> Vec<Vec<String>> {
        let url = self.cloud.database_url(role).expect("the cloud has a database");
        let text = self.ok(&format!(
            "psql --no-psqlrc --no-align --tuples-only --field-separator=$'\\t' '{url}' -c \"{statement}\""
        ));
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = format!(
                "cd {} && grep -E 'WARN|ERROR|panic' *.log | tail -n 25",
                self.directory.join("logs").display()
            );
            eprintln!("--- from the logs\n{}", self.sh(&script).out);
        }
        if let Err(error) = self.cloud.purge() {
            eprintln!("the cloud in {} could not be removed: {error:#}", self.directory.display());
        }
    }
}

/// Waits until `look` finds something.
///
/// # Panics
/// If it does not within `seconds`.
#[track_caller]
pub fn eventually<T>(seconds: u64, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
