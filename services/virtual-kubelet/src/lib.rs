//! The virtual-kubelet: a kubelet for the virtual nodes of every cluster. To clusters it is an ordinary client and a node's
//! kubelet; to the fleet it is who wants pods run. It keeps nothing on disk: both sides tell it everything again.

pub mod config;

mod control;
mod event;
mod kubelet;
mod metrics;
mod mirror;
mod node;
mod pod;
mod services;
mod watch;

use crate::{
    config::Config, control::Control, event::Recorder, kubelet::Kubelet, mirror::Mirror, node::Endpoint,
    pod::sync::Sync, watch::Feed,
};
use anyhow::Context;
use proto::fleet::placements_client::PlacementsClient;
use reconcile::{Backoff, Queue};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint as Uri};

/// Pods of one message from the fleet, with their status: a whole host's at once.
const MESSAGE_BYTES: usize = 256 << 20;

/// Serves until `stop`.
///
/// # Errors
/// If a certificate cannot be read or an address cannot be bound; control being away heals.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let control = Control::new(&config.control_endpoint, &config.identity)?;
    let fleet = PlacementsClient::new(channel(&config)?).max_decoding_message_size(MESSAGE_BYTES);
    let bind =
        |address| async move { TcpListener::bind(address).await.with_context(|| format!("cannot bind {address}")) };
    let (ops, api) = (bind(config.ops_listen).await?, bind(config.listen).await?);
    let address = config.advertised_address.unwrap_or(config.listen.ip());
    let endpoint = Endpoint { address, port: api.local_addr()?.port() };

    let mirror = Arc::new(Mirror::default());
    let (recorder, events) = Recorder::new(control.clone(), Arc::clone(&mirror));
    let queue = Queue::new(Backoff::default());
    let refresh = Duration::from_secs(config.refresh_seconds.max(1));
    let sync = Sync::new(control.clone(), fleet.clone(), Arc::clone(&mirror), recorder.clone(), address, refresh);
    let pool = reconcile::run(
        queue.clone(),
        reconcile::Config::default(),
        Arc::new(sync),
        Arc::new(metrics::Runs),
        stop.clone(),
    );
    metrics::register_gauges(&mirror, &queue);
    let health = runtime::ops::Health::new();
    let feed = Feed {
        control: control.clone(),
        fleet: fleet.clone(),
        mirror: Arc::clone(&mirror),
        queue,
        recorder,
        endpoint,
        health: health.clone(),
    };
    let period = Duration::from_secs(config.heartbeat_seconds.max(1));
    let heartbeats = node::heartbeats(control, Arc::clone(&mirror), endpoint, period, stop.clone());
    let kubelet = Arc::new(Kubelet::new(fleet, mirror));
    let tls = config.identity.server()?;
    let served = runtime::serve::serve(api, Some(tls), kubelet::router(kubelet), stop.clone());
    let ops = runtime::ops::serve(ops, health, runtime::metrics::registry(), stop.clone());
    let events = async { stop.run_until_cancelled(events).await };
    let (served, ops, ..) = tokio::join!(served, ops, pool, feed.run(stop.clone()), heartbeats, events);
    served.and(ops)
}

fn channel(config: &Config) -> anyhow::Result<Channel> {
    let uri = Uri::from_shared(config.fleet_endpoint.clone()).context("the fleet's URL is malformed")?;
    let channel = uri
        .tls_config(config.identity.tonic_client("control")?)?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    Ok(channel.connect_lazy())
}
