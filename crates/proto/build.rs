//! Compiles `proto/` with protox, a protobuf compiler in Rust: no protoc on the machine is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["fleet/v1/fleet.proto", "billing/v1/billing.proto"];
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(files, ["../../proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
