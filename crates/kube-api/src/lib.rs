//! The Kubernetes API of logical clusters: HTTP for thousands of them in one process, and the same operations without
//! HTTP for controllers. Owns authentication of callers inside a cluster, admission, and the rules of every verb.
//! Never touches: SQL (kube-store's), what kinds mean (kube-kinds'), who owns clusters (the cloud API's).

mod actor;
mod admission;
mod auth;
mod body;
mod bootstrap;
mod call;
mod document;
mod handler;
mod impersonate;
mod meta;
mod metrics;
mod negotiate;
pub mod ops;
mod patch;
mod path;
mod proxy;
mod query;
mod respond;
mod review;
mod rights;
pub mod selector;
mod state;
mod subresource;
mod table;
mod token;
mod verb;

pub use actor::Actor;
pub use bootstrap::{ClusterBootstrap, bootstrap_cluster};
pub use handler::router;
pub use rights::Rights;
pub use state::{Access, Answer, ApiConfig, ApiState, ClusterDirectory, ClusterFacts};
pub use token::{Claims, KeyError, KeyGenerations, PrivateClaims, Reference, SigningKeys};
