//! What the end-to-end tests stand on: a whole cloud of its own for each test, and a shell in which a person's commands
//! run with the real clients.

mod api;
mod forward;
mod shell;
mod world;

pub use api::{Answer, Api};
pub use forward::{Forward, get};
pub use shell::{Done, Running};
pub use world::{World, eventually};
