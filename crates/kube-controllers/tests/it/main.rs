//! All controllers on a real store and the real API operations. Only the outside is played: a kubelet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod life;
mod place;
mod world;
