//! The gateway's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main("api-gateway", api_gateway::run)
}
