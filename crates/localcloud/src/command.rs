//! Runs other programs, with errors that say what was run and what it answered.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Runs a program to its end and returns what it printed.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    output(command)
}

/// As [`run`], with the arguments in one string, split at spaces.
pub(crate) fn line(text: &str) -> anyhow::Result<String> {
    let mut words = text.split_whitespace();
    let program = words.next().context("an empty command line")?;
    run(program, &words.collect::<Vec<_>>())
}

/// Whether a command line succeeds; what it prints is dropped.
pub(crate) fn succeeds(text: &str) -> bool {
    line(text).is_ok()
}

/// Runs a prepared command to its end and returns what it printed.
pub(crate) fn output(mut command: Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("can't run {shown}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}): {}", output.status, error.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with `input` on its standard input.
pub(crate) fn feed(mut command: Command, input: &[u8]) -> anyhow::Result<String> {
    use std::io::Write;
    let shown = format!("{command:?}").replace('"', "");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't run {shown}"))?;
    child.stdin.take().context("stdin is piped")?.write_all(input)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{shown} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds a program in `PATH` and the system directories.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Into::into))
        .map(|p| p.join(program))
        .find(|p| p.is_file())
}
