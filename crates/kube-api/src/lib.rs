//! The Kubernetes API of logical clusters: HTTP for thousands of them in one process, and the same operations without
//! HTTP for controllers. Owns authentication of callers inside a cluster, admission, and the rules of every verb.
//! Never touches: SQL (kube-store's), what kinds mean (kube-kinds'), who owns clusters (the cloud API's).

mod actor;
mod admission;
mod meta;
mod metrics;
mod negotiate;
pub mod ops;
mod patch;
mod path;
mod query;
pub mod selector;
mod state;
mod subresource;
mod token;
mod verb;

pub use actor::Actor;
pub use state::{ApiConfig, ApiState, ClusterDirectory};
pub use token::{Claims, KeyError, PrivateClaims, Reference, SigningKeys};
