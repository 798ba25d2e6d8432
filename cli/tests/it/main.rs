//! `hako` against a cloud and an identity provider that answer as they are told to: errors, pages, logins.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod answers;
mod login;
mod server;
