//! What tests of several crates share: throw-away PostgreSQL servers.

mod postgres;

pub use postgres::Postgres;
