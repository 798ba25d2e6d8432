//! The API server against a real store on Postgres, over HTTP, and with real kubectl and kube-rs.
#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod access;
mod habits;
mod kubectl;
mod objects;
mod reading;
mod streams;
mod watching;
mod world;
