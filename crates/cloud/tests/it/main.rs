//! The cloud API on a real PostgreSQL, a real store and a real fleet without hosts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod clusters;
mod identity;
mod identity_api;
mod instances;
mod life;
mod pools;
mod routes;
mod world;
