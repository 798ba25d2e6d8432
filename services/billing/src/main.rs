//! Starts billing.

fn main() -> std::process::ExitCode {
    runtime::main("billing", billing::run)
}
