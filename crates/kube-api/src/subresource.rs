//! Subresources that are more than a part of their object.

pub(crate) mod binding;
//MOD connect
pub(crate) mod eviction;
//MOD scale
pub(crate) mod token;
