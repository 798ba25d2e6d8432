//! `hako-api-gateway --config FILE`.

/// Less time in the allocator than with glibc's, which shows when every request is copied through.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    runtime::main("api-gateway", async |config: api_gateway::Config, stop| api_gateway::run(config, stop).await)
}
