//! What is done by cargo: building, tests, lints, generators, benchmarks.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::config;
use crate::operations;
use crate::tidy;

/// Programs that write checked-in files, as `cargo run` arguments; each takes `--check`.
const GENERATORS: &[&[&str]] = &[
    &["--package", "kube-schema", "--bin", "kube-schema-gen"],
    &["--package", "cloud", "--bin", "cloud-openapi"],
    &["--package", "hako", "--bin", "hako-help"],
];

/// Builds all programs.
pub(crate) fn build(release: bool) -> anyhow::Result<()> {
    let mut arguments = vec!["build", "--workspace", "--bins"];
    if release {
        arguments.push("--release");
    }
    cargo(&arguments)
}

/// Runs all tests: with nextest if it is there, else with cargo's own runner.
pub(crate) fn test(arguments: &[String]) -> anyhow::Result<()> {
    let say = |text: &str| eprintln!("xtask: {text}");
    localcloud::packages::install(&say)?;
    let options = localcloud::Options::new(config::workspace().join(".hako"));
    localcloud::clients::fetch(&options.cache, &say)?;
    // The end-to-end tests start the programs; with `--all-targets` they are the ones that the tests are built with.
    let begin = Instant::now();
    cargo(&["build", "--workspace", "--all-targets"])?;
    say(&format!("built in {} s", begin.elapsed().as_secs()));
    let nextest = Command::new("cargo-nextest").arg("--version").output().is_ok_and(|o| o.status.success());
    let mut words = if nextest {
        vec!["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        vec!["test", "--workspace", "--no-fail-fast"]
    };
    words.extend(arguments.iter().map(String::as_str));
    cargo(&words)
}

/// Runs the generators.
pub(crate) fn generate(check: bool) -> anyhow::Result<()> {
    operations::write(check)?;
    for generator in GENERATORS {
        let mut words = vec!["run", "--quiet"];
        words.extend(*generator);
        if check {
            words.extend(["--", "--check"]);
        }
        cargo(&words)?;
    }
    Ok(())
}

/// What CI checks before the tests.
pub(crate) fn check() -> anyhow::Result<()> {
    localcloud::packages::install(&|text| eprintln!("xtask: {text}"))?;
    cargo(&["fmt", "--all", "--", "--check"])?;
    tidy::check()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    generate(true)
}

/// Runs the benchmarks.
pub(crate) fn bench(arguments: &[String]) -> anyhow::Result<()> {
    localcloud::packages::install(&|text| eprintln!("xtask: {text}"))?;
    build(true)?;
    let mut words = vec!["run", "--release", "--package", "bench", "--"];
    words.extend(arguments.iter().map(String::as_str));
    cargo(&words)
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(config::cargo());
    command.args(arguments).current_dir(config::workspace());
    if config::is_ci() {
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
    }
    let shown = format!("cargo {}", arguments.join(" "));
    let status = command.status().with_context(|| format!("can't run {shown}"))?;
    ensure!(status.success(), "{shown} failed");
    Ok(())
}
