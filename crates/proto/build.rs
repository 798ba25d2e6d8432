//! Compiles `proto/` with protox, a protobuf compiler in Rust: no protoc on the machine is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["fleet/v1/fleet.proto", "billing/v1/billing.proto"];
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(files, ["../../proto"])?;
    // Ordered maps: what says the same prints and encodes the same.
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
