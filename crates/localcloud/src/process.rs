//! Processes of the cloud: started detached, known by pid file and start time, so that only ours are ever signalled.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::layout::Layout;

/// Size in bytes at which a log file is put aside; one old file is kept.
const LOG_LIMIT: u64 = 32 << 20;
/// Variables of our own environment that the cloud's processes get as well.
const PASSED: &[&str] = &["RUST_LOG", "RUST_BACKTRACE", "HAKO_LOG_FORMAT", "OTEL_EXPORTER_OTLP_ENDPOINT", "LANG"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process as it is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Name of its pid file and log.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Network namespace it runs in; none: ours.
    pub(crate) namespace: Option<String>,
    /// User and group; none: ours.
    pub(crate) user: Option<(u32, u32)>,
    /// The program that writes its log: `hako-logs`.
    pub(crate) logger: PathBuf,
}

/// Starts the process in a session of its own, with its output going to its log, and notes its pid.
pub(crate) fn start(layout: &Layout, spec: &Spec) -> anyhow::Result<u32> {
    let log = layout.log(&spec.name);
    let mut logger = Command::new("setsid")
        .arg(&spec.logger)
        .arg(&log)
        .arg(LOG_LIMIT.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .with_context(|| format!("can't start {}", spec.logger.display()))?;
    let sink: OwnedFd = logger.stdin.take().context("the logger's input is piped")?.into();

    let mut words: Vec<std::ffi::OsString> = Vec::new();
    if let Some(namespace) = &spec.namespace {
        // Not `ip netns exec`: it would put a fresh /sys, without cgroups, over ours.
        words.extend(["nsenter".into(), format!("--net=/run/netns/{namespace}").into(), "--".into()]);
    }
    if let Some((uid, gid)) = spec.user {
        let (uid, gid) = (uid.to_string(), gid.to_string());
        words.extend(["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups", "--"].map(Into::into));
    }
    words.push(spec.program.clone().into());
    words.extend(spec.arguments.iter().map(Into::into));
    // setsid, nsenter and setpriv each replace themselves by what follows: the pid is the program's.
    let mut command = Command::new("setsid");
    command.args(words).env_clear().env("PATH", PATH).env("HOME", "/root").current_dir("/");
    command.envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(spec.environment.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::null()).stdout(sink.try_clone()?).stderr(sink);
    let mut child = command.spawn().with_context(|| format!("can't start {}", spec.program.display()))?;
    let pid = child.id();
    drop(command);
    note(layout, &spec.name, pid)?;
    // Whoever started it reaps it, in case we live longer than it does.
    std::thread::spawn(move || (child.wait(), logger.wait()));
    Ok(pid)
}

fn note(layout: &Layout, name: &str, pid: u32) -> anyhow::Result<()> {
    let started = start_time(pid).with_context(|| format!("{name} ended at once"))?;
    std::fs::write(layout.pid_file(name), format!("{pid} {started}\n"))?;
    Ok(())
}

/// The process's pid if it lives: the pid file's, with the start time that was noted there.
pub(crate) fn pid(layout: &Layout, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(layout.pid_file(name)).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_time(pid)? == started).then_some(pid)
}

/// When a process started, in clock ticks since boot; none if it is gone.
fn start_time(pid: u32) -> Option<String> {
    started(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same from its `/proc/PID/stat`: fields 3 (state), 20 (number of threads) and 22 (start time) of proc(5).
fn started(stat: &str) -> Option<String> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, threads, started) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    // A killed process's first thread may be a zombie while others still hold its sockets.
    let gone = *state == "X" || (*state == "Z" && threads.parse().unwrap_or(0) <= 1);
    (!gone).then(|| (*started).to_owned())
}

/// Sends a signal to the process if it lives; says whether it did.
pub(crate) fn signal(layout: &Layout, name: &str, signal: Signal) -> bool {
    let Some(pid) = pid(layout, name).and_then(|pid| i32::try_from(pid).ok()) else { return false };
    kill(Pid::from_raw(pid), signal).is_ok()
}

/// Ends the process: SIGTERM (or `first`), and SIGKILL if it is still there after `grace`.
pub(crate) fn stop(layout: &Layout, name: &str, first: Signal, grace: Duration) {
    if signal(layout, name, first) && !wait_gone(layout, name, grace) {
        signal(layout, name, Signal::SIGKILL);
        wait_gone(layout, name, Duration::from_secs(5));
    }
    let _ = std::fs::remove_file(layout.pid_file(name));
}

/// Waits until the process is gone; says whether it is.
pub(crate) fn wait_gone(layout: &Layout, name: &str, limit: Duration) -> bool {
    wait(limit, || pid(layout, name).is_none())
}

/// Waits until `done`; says whether it was within `limit`.
pub(crate) fn wait(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The log's last lines, to show with an error.
pub(crate) fn log_tail(layout: &Layout, name: &str) -> String {
    const BYTES: u64 = 4096;
    const LINES: usize = 12;
    let read = || -> std::io::Result<Vec<String>> {
        let mut file = std::fs::File::open(layout.log(name))?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(BYTES)))?;
        BufReader::new(file).lines().collect()
    };
    let lines = read().unwrap_or_default();
    let lines = &lines[lines.len().saturating_sub(LINES)..];
    let mut text: String = lines.iter().map(|l| format!("    {l}\n")).collect();
    // Postgres, Go and Rust write the same words, which are the system's.
    if lines.last().is_some_and(|line| line.to_ascii_lowercase().contains("address already in use")) {
        text += "  another program has this address: `ss -ltnp` shows which; stop it and try again\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A layout in a directory of its own, with a logger that copies its input to the log.
    fn sandbox(test: &str) -> (Layout, PathBuf) {
        let state = std::env::temp_dir().join(format!("hako-process-{}-{test}", std::process::id()));
        let layout = Layout { run: state.join("run"), id: "00000000".into(), state };
        std::fs::create_dir_all(layout.state.join("logs")).unwrap();
        std::fs::create_dir_all(layout.run.join("pids")).unwrap();
        let logger = layout.state.join("logger");
        std::fs::write(&logger, "#!/bin/sh\nexec cat >> \"$1\"\n").unwrap();
        std::fs::set_permissions(&logger, std::fs::Permissions::from_mode(0o755)).unwrap();
        (layout, logger)
    }

    fn shell(script: &str, logger: PathBuf) -> Spec {
        Spec {
            name: "shell".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("WORD".into(), "hello".into())],
            namespace: None,
            user: None,
            logger,
        }
    }

    #[test]
    fn process_is_started_found_and_stopped() {
        let (layout, logger) = sandbox("stop");
        let script = "echo $WORD; trap 'exit 0' TERM; while :; do sleep 0.05; done";
        let started = start(&layout, &shell(script, logger)).unwrap();
        assert_eq!(pid(&layout, "shell"), Some(started));
        assert!(wait(Duration::from_secs(5), || log_tail(&layout, "shell").contains("hello")));
        stop(&layout, "shell", Signal::SIGTERM, Duration::from_secs(5));
        assert_eq!(pid(&layout, "shell"), None);
        std::fs::remove_dir_all(&layout.state).unwrap();
    }

    #[test]
    fn a_taken_port_is_explained() {
        let (layout, _) = sandbox("port");
        let log = |text: &str| {
            std::fs::write(layout.log("shell"), text).unwrap();
            log_tail(&layout, "shell")
        };
        assert!(log("can't listen on 127.0.0.1:1: Address already in use (os error 98)\n").contains("ss -ltnp"));
        assert!(!log("address already in use\nlistening\n").contains("ss -ltnp"), "that was an earlier try");
        std::fs::remove_dir_all(&layout.state).unwrap();
    }

    #[test]
    fn process_that_ignores_sigterm_is_killed() {
        let (layout, logger) = sandbox("kill");
        start(&layout, &shell("trap '' TERM; echo ready; while :; do sleep 0.05; done", logger)).unwrap();
        assert!(wait(Duration::from_secs(5), || log_tail(&layout, "shell").contains("ready")));
        stop(&layout, "shell", Signal::SIGTERM, Duration::from_millis(200));
        assert_eq!(pid(&layout, "shell"), None);
        std::fs::remove_dir_all(&layout.state).unwrap();
    }

    #[test]
    fn process_is_gone_with_its_last_thread() {
        let stat = |state: &str, threads: u32| {
            format!("7 (a) b) {state} 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 {threads} 0 4711 0 0")
        };
        assert_eq!(started(&stat("S", 4)).as_deref(), Some("4711"));
        assert_eq!(started(&stat("Z", 4)).as_deref(), Some("4711"));
        assert_eq!(started(&stat("Z", 1)), None);
    }

    #[test]
    fn process_with_a_reused_number_is_not_ours() {
        let (layout, _) = sandbox("reuse");
        // Our own number, with another start time: a stranger that got the number of a process of ours.
        std::fs::write(layout.pid_file("shell"), format!("{} 1\n", std::process::id())).unwrap();
        assert_eq!(pid(&layout, "shell"), None);
        assert!(!signal(&layout, "shell", Signal::SIGKILL));
        std::fs::remove_dir_all(&layout.state).unwrap();
    }
}
