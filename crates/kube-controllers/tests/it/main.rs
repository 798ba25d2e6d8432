//! All controllers on a real store and the real API operations. Only the outside is played: a kubelet.
#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod life;
mod place;
mod world;
