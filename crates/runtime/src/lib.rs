//! What every service's process has in common: configuration, telemetry, signals, TLS with peer
//! identity, HTTP serving with graceful drain, health and metrics. Knows nothing of the domain.

pub mod config;
pub mod metrics;
pub mod ops;
pub mod request;
pub mod serve;
pub mod telemetry;
pub mod tls;

mod process;

pub use ops::Health;
pub use process::main;
pub use serve::{Peer, ServerName};
pub use tokio_util::sync::CancellationToken;
