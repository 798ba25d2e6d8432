//! Compiles the contracts of containerd (CRI and events) with protox: no protoc on the machine is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto/vendor";
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(["cri/v1/api.proto", "containerd/events.proto"], [root])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
