//! What the operator's subcommands share: their command line, control's configuration, and how they end.

use crate::Config;
use clap::Parser;
use std::{path::Path, process::ExitCode};

/// Exit code of a misused command line. Source: `EX_USAGE` of sysexits(3).
const MISUSED: u8 = 64;

/// A subcommand's arguments.
pub(crate) trait Arguments: Parser {
    /// Control's configuration file.
    fn config(&self) -> &Path;
}

/// Runs a subcommand and prints what it gives.
pub(crate) fn run<A: Arguments>(work: impl AsyncFnOnce(Config, A) -> anyhow::Result<String>) -> ExitCode {
    // The first word is the subcommand's own name.
    let arguments = match A::try_parse_from(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let misused = error.use_stderr();
            let _ = error.print();
            return if misused { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
        }
    };
    let config = match runtime::config::load::<Config>(arguments.config()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("hako-control: {error}");
            return ExitCode::from(MISUSED);
        }
    };
    runtime::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(work(config, arguments))) {
        Ok(printed) => {
            println!("{printed}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hako-control: {error:#}");
            ExitCode::FAILURE
        }
    }
}
