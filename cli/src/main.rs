//! `hako`: the command of tenants.

use std::process::ExitCode;

fn main() -> ExitCode {
    hako::main()
}
