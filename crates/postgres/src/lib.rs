//! Connections to PostgreSQL and the services' migrations. Each service has a schema of its own,
//! which its pool's search path names; nobody reads another service's tables.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
pub use sqlx::{PgConnection, PgPool};

/// Time that a caller waits for a free connection before it gets an error.
const ACQUIRE: Duration = Duration::from_secs(10);

static CONTROL: Migrator = sqlx::migrate!("../../migrations/control");
static BILLING: Migrator = sqlx::migrate!("../../migrations/billing");

/// Opens a pool of at most `max` connections and checks that one works.
///
/// # Errors
/// If the URL is malformed or the server can't be reached.
pub async fn connect(url: &str, max: u32) -> Result<PgPool, sqlx::Error> {
    open(PgConnectOptions::from_str(url)?, max).await
}

/// As [`connect`], with control's schema as search path.
///
/// # Errors
/// If the URL is malformed or the server can't be reached.
pub async fn connect_control(url: &str, max: u32) -> Result<PgPool, sqlx::Error> {
    open(PgConnectOptions::from_str(url)?.options([("search_path", "control")]), max).await
}

/// As [`connect`], with billing's schema as search path.
///
/// # Errors
/// If the URL is malformed or the server can't be reached.
pub async fn connect_billing(url: &str, max: u32) -> Result<PgPool, sqlx::Error> {
    open(PgConnectOptions::from_str(url)?.options([("search_path", "billing")]), max).await
}

/// Brings control's schema up to date; replicas that start together wait for each other.
/// The pool must come from [`connect_control`].
///
/// # Errors
/// If a migration fails; the earlier ones stay applied.
pub async fn migrate_control(pool: &PgPool) -> Result<(), MigrateError> {
    sqlx::query("create schema if not exists control").execute(pool).await?;
    CONTROL.run(pool).await
}

/// Brings billing's schema up to date; replicas that start together wait for each other.
/// The pool must come from [`connect_billing`].
///
/// # Errors
/// If a migration fails; the earlier ones stay applied.
pub async fn migrate_billing(pool: &PgPool) -> Result<(), MigrateError> {
    sqlx::query("create schema if not exists billing").execute(pool).await?;
    BILLING.run(pool).await
}

async fn open(options: PgConnectOptions, max: u32) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(max).acquire_timeout(ACQUIRE).connect_with(options).await
}
