//! The gRPC contracts between services, compiled from `proto/`.
#![allow(missing_docs, clippy::all, clippy::unwrap_used, unreachable_pub, reason = "generated code")]

/// Hosts, placements and streams into pods.
pub mod fleet {
    tonic::include_proto!("hakobune.fleet.v1");
}

/// The usage ledger.
pub mod billing {
    tonic::include_proto!("hakobune.billing.v1");
}
