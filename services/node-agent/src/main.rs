//! Starts the agent of one host.

fn main() -> std::process::ExitCode {
    runtime::main("node-agent", node_agent::run)
}
