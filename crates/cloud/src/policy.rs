//! Policies: stored statements, and the grants that they make, remembered for each tenancy.

pub(crate) mod store;

use crate::{
    Error,
    access::{Grants, statement},
    error::invalid,
};
use dashmap::DashMap;
use domain::TenantId;
use sqlx::PgPool;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long grants are believed. Changes made by this replica are seen at once, those of others after so long.
const BELIEVE: Duration = Duration::from_secs(5);
/// Tenancies remembered; past this, those out of date are forgotten, then all.
const REMEMBER: usize = 10_000;

#[derive(Debug)]
struct Known {
    grants: Arc<Grants>,
    until: Instant,
}

/// The grants of tenancies, read when they are asked for.
#[derive(Debug)]
pub(crate) struct Policies {
    db: PgPool,
    known: DashMap<TenantId, Known>,
    /// Grows with each change: what was read before a change must not be remembered after it.
    changes: AtomicU64,
}

impl Policies {
    /// Nothing is known yet.
    pub(crate) fn new(db: PgPool) -> Self {
        Self { db, known: DashMap::new(), changes: AtomicU64::new(0) }
    }

    /// What is allowed in a tenancy.
    pub(crate) async fn grants(&self, tenant: &TenantId) -> Result<Arc<Grants>, Error> {
        if let Some(known) = self.known.get(tenant).filter(|known| known.until > Instant::now()) {
            return Ok(Arc::clone(&known.grants));
        }
        let (until, seen) = (Instant::now() + BELIEVE, self.changes.load(Ordering::Acquire));
        let grants = Arc::new(Grants::new(tenant, store::source(&self.db, tenant).await?));
        if self.known.len() >= REMEMBER {
            self.known.retain(|_, known| known.until > Instant::now());
            if self.known.len() >= REMEMBER {
                self.known.clear();
            }
        }
        self.known.insert(tenant.clone(), Known { grants: Arc::clone(&grants), until });
        if self.changes.load(Ordering::Acquire) != seen {
            self.known.remove(tenant);
        }
        Ok(grants)
    }

    /// Forgets what is known of a tenancy, after a change of its compartments, groups or policies is committed.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.known.remove(tenant);
    }
}

/// Refuses statements that mean nothing.
pub(crate) fn check_statements(statements: &[String]) -> Result<(), Error> {
    // Source: OCI's limit, 50 statements of a policy.
    if !(1..=50).contains(&statements.len()) {
        return Err(invalid("statements: a policy must have 1 to 50 statements"));
    }
    for (at, text) in statements.iter().enumerate() {
        statement::parse(text).map_err(|why| invalid(format!("statements[{at}]: {why}")))?;
    }
    Ok(())
}
