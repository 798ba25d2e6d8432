//! `hako-api-gateway --config FILE`.

fn main() -> std::process::ExitCode {
    runtime::main("api-gateway", async |config: api_gateway::Config, stop| api_gateway::run(config, stop).await)
}
