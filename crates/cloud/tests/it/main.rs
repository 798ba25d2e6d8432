//! The cloud API on a real PostgreSQL, a real store and a real fleet without hosts.

mod clusters;
mod identity;
mod pools;
mod world;
