//! Tells the ledger from when on a pod on a lost host is not billed; repeats until it is confirmed.

use crate::{actor::Fleet, store};
use proto::billing::{CloseRequest, Closure, ledger_client::LedgerClient};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How often what is open is offered again.
const PERIOD: Duration = Duration::from_secs(2);

/// Where closures go: billing's gRPC endpoint.
#[derive(Debug, Clone)]
pub struct ClosureSink(pub Channel);

pub(crate) async fn run(fleet: Arc<Fleet>, sink: ClosureSink, stop: CancellationToken) {
    let mut ledger = LedgerClient::new(sink.0);
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        if let Err(error) = ship(&fleet, &mut ledger).await {
            tracing::warn!(%error, "could not tell the ledger what is not billed any more; will retry");
        }
    }
}

async fn ship(fleet: &Fleet, ledger: &mut LedgerClient<Channel>) -> anyhow::Result<()> {
    let open = store::open_closures(fleet.db()).await?;
    if open.is_empty() {
        return Ok(());
    }
    let closures = open.iter().map(|(uid, host, at_ms, reason)| Closure {
        resource_uid: uid.clone(),
        source: host.clone(),
        at_ms: *at_ms,
        reason: reason.clone(),
    });
    ledger.close(CloseRequest { closures: closures.collect() }).await?;
    store::confirm_closures(fleet.db(), &open).await?;
    Ok(())
}
