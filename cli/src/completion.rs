//! Completion of `hako`'s words by shells.

use crate::{args::Args, error::Error, output};
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the script for a shell.
pub(crate) fn print(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "hako", &mut script);
    output::write(&String::from_utf8(script).map_err(Error::io("write the script"))?)
}
