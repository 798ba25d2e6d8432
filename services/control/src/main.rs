//! `hako-control --config FILE` serves; `hako-control bootstrap` makes a tenancy, `hako-control limit` says how much it may
//! have.

/// glibc's allocator keeps the memory of clusters that were evicted or deleted; this one gives it back within moments.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("bootstrap") => return control::bootstrap::main(),
        Some("limit") => return control::limit::main(),
        _ => {}
    }
    runtime::main("control", async |config: control::Config, stop| control::run(config, stop).await)
}
