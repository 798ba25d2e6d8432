//! The controllers of every logical cluster and its pod scheduler.

pub mod action;
pub mod deployment;
pub mod endpoint;
pub mod garbage;
pub mod namespace;
pub mod node;
pub mod pod_gc;
pub mod replica_set;
pub mod selector;
pub mod view;
