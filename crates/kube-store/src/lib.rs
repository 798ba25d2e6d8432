//! Logical clusters on Postgres: one actor per cluster holds all its objects in memory, serves reads and watches from
//! there, and commits writes in groups. Owns the tables `kube_*`; knows nothing of kinds, HTTP or users.
//!
//! Invariant: a cluster has one writer, fenced by its epoch; a revision is given to exactly one write, gapless and in
//! commit order; a write is answered after its commit.

mod cluster;
pub mod metrics;
mod object;
mod state;
mod store;
mod stores;
mod txn;

pub use cluster::{Cluster, Expired, Watch, WriteError};
pub use object::{Event, EventKind, Key, Meta, Object, Owner, Resource};
pub use stores::{Limits, Signal, StoreConfig, StoreError, Stores};
pub use txn::{PutError, Txn};
