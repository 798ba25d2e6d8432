//! Byte streams into pods: SPDY/3.1, and over it and WebSocket the Kubernetes subprotocols for exec, attach and
//! port-forward. Knows no service of ours; a caller brings the connection and what to do with the bytes.

pub mod client;
pub mod server;
pub mod spdy;

mod outcome;
mod session;

pub use outcome::Outcome;
pub use session::{RemoteCommandOptions, ServerSession, Session, TerminalSize};
