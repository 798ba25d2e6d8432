//! The virtual-kubelet's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main("virtual-kubelet", virtual_kubelet::run)
}
