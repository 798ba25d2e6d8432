//! All controllers on a real store and the real API operations. Only the outside is played: a kubelet.

mod life;
mod place;
mod world;
