//! A person's shell: commands with the variables of `env.sh`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longest time of one command, in seconds: driving all of the Container Engine API takes a minute, and three on a
/// machine that compiles meanwhile.
const LIMIT: &str = "300";

/// What a command did.
#[derive(Debug, Clone)]
pub struct Done {
    /// Exit code.
    pub code: i32,
    /// Standard output, without the last line's end.
    pub out: String,
    /// Standard error, the same.
    pub err: String,
}

impl Done {
    fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn command(environment: &BTreeMap<String, String>, script: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT, "bash", "-euo", "pipefail", "-c", script]);
    command.envs(environment).stdin(Stdio::null());
    command
}

/// Runs a script of bash to its end.
pub(crate) fn run(environment: &BTreeMap<String, String>, script: &str) -> Done {
    Done::new(command(environment, script).output().expect("timeout and bash are on every Debian"))
}

/// A command that goes on; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts one command (not a script: so that killing it kills it).
    pub(crate) fn start(environment: &BTreeMap<String, String>, words: &[&str]) -> Self {
        // The program itself is looked up in the child's PATH too.
        let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
        let found = path.split(':').map(|d| format!("{d}/{}", words[0])).find(|p| std::path::Path::new(p).exists());
        let mut command = Command::new(found.unwrap_or_else(|| words[0].to_owned()));
        command.args(&words[1..]).envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command is there");
        let (to, lines) = channel();
        let outputs: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|o| Box::new(o) as _), child.stderr.take().map(|o| Box::new(o) as _)];
        for output in outputs.into_iter().flatten() {
            let to = to.clone();
            std::thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(to.send(line)));
            });
        }
        Self { child, lines }
    }

    /// The next line, of either output, that `wanted` takes.
    ///
    /// # Panics
    /// If none comes within half a minute.
    #[track_caller]
    pub fn line<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(found) = wanted(&line) {
                return found;
            }
            seen.push(line);
        }
        panic!("the line that was waited for did not come; these did: {seen:#?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
