//! One pod on this host: from what is asked and what containerd has, to what is done and what is said.

pub mod act;
pub mod backoff;
pub mod check;
pub mod container;
pub mod diff;
pub mod downward;
pub mod env;
#[cfg(test)]
pub(crate) mod fixture;
mod grpc_health;
pub mod hook;
pub mod http;
pub mod image;
pub mod memory;
pub mod policy;
pub mod probe;
pub mod pulls;
pub mod resources;
pub mod sandbox;
pub mod status;
pub mod storage;
pub mod subpath;
pub mod volume;
pub mod worker;
