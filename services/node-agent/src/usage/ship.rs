//! Sends what waits in the journal to billing: at least once, in order, with back-off.

use std::time::Duration;

use anyhow::Context;
use proto::billing::RecordRequest;
use proto::billing::ledger_client::LedgerClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::record::Interval;
use super::{Journal, Options};

/// Intervals in one request: some 250 kB, far below gRPC's limit of 4 MB.
const BATCH: usize = 1000;
/// First and longest pause after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Time that billing has to answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The way to billing.
#[derive(Debug)]
pub(crate) struct Shipper {
    client: LedgerClient<Channel>,
    host_id: String,
    pause: Duration,
    /// Intervals in the next request.
    limit: usize,
}

impl Shipper {
    /// Prepares the connection; it is made with the first request, and again when it is lost.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(options.endpoint.clone())
            .with_context(|| format!("billing endpoint {:?} is no URL", options.endpoint))?
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            .tls_config(options.identity.tonic_client("billing")?)
            .context("can't set up TLS towards billing")?;
        let client = LedgerClient::new(endpoint.connect_lazy());
        Ok(Self { client, host_id: options.host_id.clone(), pause: BACKOFF.0, limit: BATCH })
    }

    /// Sends until nothing waits. After a failure gives the time after which to try again.
    ///
    /// One interval that billing refuses must not hold up all others: a refused batch is sent in halves, until the one
    /// is alone; it is set aside then, for a person to look at.
    pub(crate) async fn ship(&mut self, journal: &Journal) -> Option<Duration> {
        loop {
            let batch = journal.pending(self.limit);
            let [first, ..] = batch.as_slice() else { return None };
            match self.send(&batch).await {
                Ok(()) => self.limit = (self.limit * 2).min(BATCH),
                Err(status) if status.code() == Code::InvalidArgument && batch.len() > 1 => {
                    self.limit = batch.len() / 2;
                    continue;
                }
                Err(status) if status.code() == Code::InvalidArgument => {
                    let uid = &first.uid;
                    tracing::error!(pod.uid = %uid, "billing refuses interval {first:?}: {}", status.message());
                    journal.set_aside(first).await;
                }
                Err(status) => return Some(self.fail(&status, journal)),
            }
            self.pause = BACKOFF.0;
            if let Err(error) = journal.acknowledge(batch.len()).await {
                tracing::error!("could not tidy the usage journal: {error:#}");
            }
        }
    }

    async fn send(&mut self, batch: &[Interval]) -> Result<(), tonic::Status> {
        let intervals = batch.iter().map(|interval| message(&self.host_id, interval)).collect();
        self.client.record(RecordRequest { intervals }).await.map(|_| ())
    }

    fn fail(&mut self, status: &tonic::Status, journal: &Journal) -> Duration {
        let waiting = journal.waiting();
        tracing::warn!(waiting, "billing does not take usage ({waiting} intervals wait): {status}");
        let pause = self.pause;
        self.pause = (pause * 2).min(BACKOFF.1);
        pause
    }
}

fn message(host_id: &str, interval: &Interval) -> proto::billing::Interval {
    let info = &interval.info;
    proto::billing::Interval {
        source: host_id.to_owned(),
        resource_uid: interval.uid.clone(),
        sequence: interval.sequence,
        tenant_id: info.tenant_id.clone(),
        compartment_id: info.compartment_id.clone(),
        cluster_id: info.cluster_id.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        shape: info.shape.clone(),
        ocpu_milli: info.ocpu_milli,
        memory_bytes: info.memory_bytes,
        from_ms: interval.from_ms,
        to_ms: interval.to_ms,
    }
}
