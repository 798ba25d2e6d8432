//! `hako-control --config FILE` serves; `hako-control bootstrap --config FILE ...` makes a tenancy.

/// glibc's allocator keeps the memory of clusters that were evicted or deleted; this one gives it back within moments.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "bootstrap") {
        return control::bootstrap::main();
    }
    runtime::main("control", async |config: control::Config, stop| control::run(config, stop).await)
}
