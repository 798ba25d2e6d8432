//! The controllers of every logical cluster, and its pod scheduler: what kube-controller-manager and kube-scheduler are
//! elsewhere. Each one observes the cluster's memory, decides by a pure `diff`, and acts through the cluster's writer
//! and the API's operations. Never: placing pods on hosts (that is fleet), or waking a cluster that sleeps.
//!
//! Invariant: one pool of workers serves all clusters; a cluster that sleeps or in which nothing happens has no task.

mod act;
pub mod action;
mod config;
pub mod deployment;
pub mod disruption;
pub mod endpoint;
pub mod events;
pub mod garbage;
mod key;
mod metrics;
pub mod namespace;
pub mod node;
pub mod pod_gc;
pub mod replica_set;
mod run;
pub mod scheduler;
pub mod selector;
mod table;
pub mod view;
mod world;

pub use config::Config;
pub use key::Key;
pub use run::{run, run_with};
