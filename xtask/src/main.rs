//! The front door of the repository: `cargo xtask up`, `down`, `test`, `gen`, `ci`, `bench`, `tidy`.

mod cargo;
mod cloud;
mod config;
mod operations;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs, tests and checks Hakobune.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the whole cloud on this machine; repeatable.
    Up(cloud::Up),
    /// Stops it; its state stays for the next `up`.
    Down(cloud::Down),
    /// Runs all tests, end-to-end ones included; further arguments go to the runner.
    Test {
        /// For example a test's name, or `-E 'package(kube-store)'`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes the files that are generated.
    Gen {
        /// Only says whether they are up to date.
        #[arg(long)]
        check: bool,
    },
    /// Format, lints, generated files and house rules: what CI checks before the tests.
    Ci,
    /// Runs the benchmarks in the release profile; arguments go to them.
    Bench {
        /// Names of benchmarks, and their flags.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Checks the house rules that are cheap to check.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(up) => cloud::up(&up),
        Command::Down(down) => cloud::down(&down),
        Command::Test { arguments } => cargo::test(&arguments),
        Command::Gen { check } => cargo::generate(check),
        Command::Ci => cargo::check(),
        Command::Bench { arguments } => cargo::bench(&arguments),
        Command::Tidy => tidy::check(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
