//! The serving end: turns an HTTP upgrade request into a [`ServerSession`] or into forwards, whichever way the client
//! asks for it.

mod forward;
mod remote;
mod tunnel;
mod upgrade;

pub use forward::{Forward, Forwards, PendingForwards, port_forward};
pub use remote::{PendingSession, remote_command};
pub use upgrade::UpgradeError;
