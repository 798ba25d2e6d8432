//! The whole system, end to end: every test starts a cloud of its own and uses it as people do, with real kubectl, real
//! containerd and real Postgres.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod cli;
mod input;
mod instance;
mod journey;
mod kill;
mod lifecycle;
mod oci;
mod pools;
mod schema;
mod telemetry;
mod workload;
