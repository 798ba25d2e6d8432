//! Turns of image pulls: so many at a time, and only some of them for one tenant, so that a tenant whose registry does not
//! answer keeps nobody else's pods from starting.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Images pulled at a time: more only share the same line and disk.
const ALL: usize = 16;
/// The same for one tenant.
const EACH: usize = 4;

/// All turns of a host.
#[derive(Debug)]
pub struct Pulls {
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The right to pull; ends when dropped.
#[derive(Debug)]
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _any: OwnedSemaphorePermit,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), tenants: Mutex::default() }
    }
}

impl Pulls {
    /// Waits for a turn of the tenant.
    pub async fn turn(&self, tenant: &str) -> Turn {
        let tenants = self.of(tenant);
        let own = tenants.acquire_owned().await.expect("the semaphores are never closed");
        // A tenant's own turn comes first: those who wait for it hold no place that others could use.
        let any = self.all.clone().acquire_owned().await.expect("the semaphores are never closed");
        Turn { _own: own, _any: any }
    }

    /// Images that are being pulled.
    pub fn running(&self) -> usize {
        ALL - self.all.available_permits().min(ALL)
    }

    fn of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(known) = tenants.get(tenant).and_then(Weak::upgrade) {
            return known;
        }
        tenants.retain(|_, known| known.strong_count() > 0);
        let fresh = Arc::new(Semaphore::new(EACH));
        tenants.insert(tenant.to_owned(), Arc::downgrade(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_tenant_that_waits_for_its_registry_holds_up_only_itself() {
        let pulls = Pulls::default();
        let mut held = Vec::new();
        for _ in 0..EACH {
            held.push(pulls.turn("slow").await);
        }
        assert!(pulls.turn("slow").now_or_never().is_none());
        assert!(pulls.turn("other").now_or_never().is_some());
        held.pop();
        assert!(pulls.turn("slow").now_or_never().is_some());
        drop(held);
        drop(pulls.turn("other").await);
        assert!(pulls.tenants.lock().len() <= 2, "tenants without pulls are forgotten");
    }
}
