//! SPDY/3.1: many byte streams with headers over one connection, as `kubectl`, kubelets and CRI streaming servers
//! speak it.

mod connection;
mod dictionary;
mod flow;
mod frame;
mod header;

pub use connection::stream::{Stream, StreamReader, StreamWriter};
pub use connection::{Connection, Incoming, Role};
pub use frame::{Frame, FrameReader, Reset};
pub use header::{Headers, Packer, Unpacker};
