//! The table of types.
