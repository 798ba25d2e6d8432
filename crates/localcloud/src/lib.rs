//! The whole cloud on one machine, every part as in production: own PostgreSQL, S3, image registry, hosts with
//! containerd in network namespaces, and our services, all in one state directory. Used by `cargo xtask up`,
//! by the end-to-end tests and the benchmarks; several clouds can run side by side.
//!
//! Everything here is synchronous: it waits for processes, and xtask builds faster without a runtime.
//! From async code call it through `spawn_blocking`.

pub mod clients;
pub mod layout;
pub mod packages;

mod bootstrap;
mod cloud;
mod command;
mod config;
mod database;
mod environment;
mod fabric;
mod hosts;
mod http;
mod image;
mod oci;
mod pki;
mod process;
mod registry;
mod services;

pub use bootstrap::Tenant;
pub use cloud::Cloud;
pub use config::Options;
