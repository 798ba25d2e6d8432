//! Rate cards: prices as data.

mod store;

pub use store::pod_cards;
