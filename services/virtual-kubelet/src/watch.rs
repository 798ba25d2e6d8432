//! Keeps the mirror true: three watches, each of which starts over when it is cut off.

use crate::{
    control::{Control, WatchLine},
    event::Recorder,
    metrics,
    mirror::Mirror,
    node::{self, Endpoint},
};
use futures::{StreamExt, pin_mut};
use proto::fleet::{WatchRequest, placement_event::Event, placements_client::PlacementsClient};
use reconcile::Queue;
use runtime::Health;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Pause before a cut-off watch starts over.
const PAUSE: Duration = Duration::from_millis(500);

/// What the watches feed.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) control: Control,
    pub(crate) fleet: PlacementsClient<Channel>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) queue: Queue<String>,
    pub(crate) recorder: Recorder,
    pub(crate) endpoint: Endpoint,
    /// Ready while each watch has told all there is and goes on.
    pub(crate) health: Health,
}

impl Feed {
    /// Runs all watches until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let watches = async {
            tokio::join!(
                again("pods", &self.health, || self.pods()),
                again("nodes", &self.health, || self.nodes()),
                again("placements", &self.health, || self.placements())
            );
        };
        stop.run_until_cancelled(watches).await;
    }

    async fn pods(&self) -> anyhow::Result<()> {
        let lines = self.control.watch_all("pods").await?;
        pin_mut!(lines);
        let mut told = Some(HashSet::new());
        while let Some(line) = lines.next().await {
            let line = line?;
            if is_end_of_initial(&line) {
                if let Some(told) = told.take() {
                    self.health.set_ready("pods", true);
                    self.queue.add_all(self.mirror.keep_pods(&told));
                    self.queue.add_all(self.mirror.uids());
                }
                continue;
            }
            match line.kind.as_str() {
                "ADDED" | "MODIFIED" => {
                    let Some(uid) = self.mirror.put_pod(&line.cluster, line.object) else { continue };
                    if let Some(told) = &mut told {
                        told.insert(uid.clone());
                    }
                    self.queue.add(uid);
                }
                "DELETED" => {
                    let uid = line.object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                    self.mirror.remove_pod(&uid);
                    self.queue.add(uid);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn nodes(&self) -> anyhow::Result<()> {
        let lines = self.control.watch_all("nodes").await?;
        pin_mut!(lines);
        let mut told = Some(HashSet::new());
        while let Some(line) = lines.next().await {
            let line = line?;
            if is_end_of_initial(&line) {
                if let Some(told) = told.take() {
                    self.health.set_ready("nodes", true);
                    self.mirror.keep_nodes(&told);
                }
                continue;
            }
            match line.kind.as_str() {
                "ADDED" | "MODIFIED" => {
                    let Some(node) = self.mirror.put_node(&line.cluster, line.object) else { continue };
                    match &mut told {
                        Some(told) => _ = told.insert((Arc::clone(&node.cluster), node.name.clone())),
                        None => {}
                    }
                    self.queue.add_all(self.mirror.pods_on(&node.cluster, &node.name));
                    let (control, endpoint) = (self.control.clone(), self.endpoint);
                    tokio::spawn(async move {
                        if let Err(error) = node::settle(&control, &node, endpoint).await {
                            tracing::debug!(node = node.name, %error, "could not settle a node; its heartbeat will");
                        }
                    });
                }
                "DELETED" => {
                    let name = line.object["metadata"]["name"].as_str().unwrap_or_default();
                    self.mirror.remove_node(&line.cluster, name);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn placements(&self) -> anyhow::Result<()> {
        let mut events = self.fleet.clone().watch(WatchRequest {}).await?.into_inner();
        let mut told = Some(HashSet::new());
        let ended = loop {
            match events.message().await {
                Ok(Some(message)) => match message.event {
                    Some(Event::State(mut state)) => {
                        for event in std::mem::take(&mut state.events) {
                            self.recorder.pass_on(&state.uid, event);
                        }
                        let uid = state.uid.clone();
                        if let Some(told) = &mut told {
                            told.insert(uid.clone());
                        }
                        self.mirror.put_placement(state);
                        self.queue.add(uid);
                    }
                    Some(Event::Synced(_)) => {
                        if let Some(told) = told.take() {
                            self.health.set_ready("placements", true);
                            self.mirror.keep_placements(&told);
                            self.queue.add_all(self.mirror.uids());
                        }
                    }
                    None => {}
                },
                Ok(None) => break Ok(()),
                Err(status) => break Err(status.into()),
            }
        };
        self.mirror.forget_placements();
        ended
    }
}

fn is_end_of_initial(line: &WatchLine) -> bool {
    line.kind == "BOOKMARK"
        && line.object.pointer("/metadata/annotations/k8s.io~1initial-events-end").is_some_and(|v| v == "true")
}

async fn again<F: Future<Output = anyhow::Result<()>>>(what: &'static str, health: &Health, watch: impl Fn() -> F) {
    loop {
        health.set_ready(what, false);
        let ended = watch().await;
        metrics::broke(what);
        match ended {
            Ok(()) => tracing::info!("the watch of {what} ended; starting over"),
            Err(error) => tracing::warn!(%error, "the watch of {what} broke; starting over"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
