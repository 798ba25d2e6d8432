//! `hako-api-gateway --config FILE`.

/// A third less time in the allocator than glibc's, which shows when every request is copied through.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    runtime::main("api-gateway", async |config: api_gateway::Config, stop| api_gateway::run(config, stop).await)
}
