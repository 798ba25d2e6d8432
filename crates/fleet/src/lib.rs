//! The fleet: hosts and what runs on them. Chooses a host for each pod, leases its address, tells agents what to run over
//! the stream that they keep open, and decides when a silent host is lost. Owns the tables `hosts`, `networks`,
//! `network_clusters`, `placements`, `usage_closures`; knows nothing of Kubernetes objects but the pod that it passes on.
//!
//! Invariant: an address is leased to one placement, from its first choice until nothing of it is left on any host.

mod actor;
mod address;
mod agents;
mod closures;
mod core;
mod instances;
mod metrics;
mod placements;
mod rules;
mod store;
mod streams;

pub use actor::{ClusterNetwork, Fleet, FleetConfig, FleetError, HostView, NetworkDirectory};
pub use closures::ClosureSink;
pub use core::{Supply, Waiting};
pub use instances::InstanceNetwork;
