//! All clusters at once, for our own processes: `/clusters/*/...`. A reader that is cut off starts over.

use crate::{
    query::Query,
    state::ApiState,
    verb::{
        list::Filter,
        store_status,
        watch::{Counted, bookmark_object, seen, streaming},
    },
};
use axum::{body::Body, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use domain::ClusterId;
use futures::stream;
use kube_schema::Kind;
use kube_store::{Event, Object, Resource, Signal};
use problem::kube::Status;
use serde_json::json;
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

/// Bytes that are gathered before they are sent.
const PIECE: usize = 32 * 1024;
/// Pause between bookmarks, by which both ends see that the other still lives.
const BOOKMARKS: Duration = Duration::from_secs(30);

type Place = (Arc<str>, Arc<str>);

struct Stream {
    kind: &'static Kind,
    resource: Resource,
    filter: Filter,
    initial: std::vec::IntoIter<(ClusterId, Arc<Object>)>,
    initial_sent: bool,
    /// Revisions that were listed: signals of older writes are still in the queue.
    listed: HashMap<(ClusterId, Place), u64>,
    /// What the reader has seen and not seen deleted: what is to be deleted when a cluster goes.
    shown: HashMap<ClusterId, HashSet<Place>>,
    signals: Receiver<Signal>,
    only_list: bool,
    over: bool,
    /// When something was sent last.
    sent: Instant,
    _counted: Counted,
}

/// `GET /clusters/*/...`, list or watch, as lines of JSON.
///
/// # Errors
/// 503 if the store is down, 400 for bad selectors.
pub(crate) async fn wildcard(state: &Arc<ApiState>, kind: &'static Kind, query: &Query) -> Result<Response, Status> {
    let filter = Filter::parse(kind, query)?;
    let resource: Resource = kind.resource().into();
    let signals = state.stores.subscribe();
    let mut initial = state.stores.wildcard(&resource).await.map_err(|error| store_status(&error))?;
    initial.retain(|(_, object)| filter.matches(object));
    let listed = initial.iter().map(|(id, object)| ((id.clone(), place(object)), object.revision)).collect();
    let stream = Stream {
        kind,
        resource,
        filter,
        initial: initial.into_iter(),
        initial_sent: false,
        listed,
        shown: HashMap::new(),
        signals,
        only_list: !query.flag("watch"),
        over: false,
        sent: Instant::now(),
        _counted: Counted::new(&state.metrics.watches),
    };
    let pieces = stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|piece| (Ok::<_, Infallible>(piece), stream))
    });
    Ok(streaming(Body::from_stream(pieces)))
}

fn place(object: &Object) -> Place {
    (Arc::clone(&object.key.namespace), Arc::clone(&object.key.name))
}

fn line(out: &mut BytesMut, what: &str, cluster: &ClusterId, object: &[u8]) {
    out.put_slice(b"{\"type\":\"");
    out.put_slice(what.as_bytes());
    out.put_slice(b"\",\"cluster\":\"");
    out.put_slice(cluster.as_str().as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while out.is_empty() {
            if self.over {
                return None;
            }
            if !self.initial_sent {
                self.begin(&mut out);
                continue;
            }
            // Counted from what was sent last: signals of other resources come all the time and send nothing.
            let pause = BOOKMARKS.saturating_sub(self.sent.elapsed());
            match tokio::time::timeout(pause, self.signals.recv()).await {
                Err(_) => {
                    // By now the queue has passed what was listed.
                    self.listed = HashMap::new();
                    self.bookmark(&mut out, false);
                }
                Ok(Ok(signal)) => self.signal(&signal, &mut out),
                // Too slow: what was missed can't be made up; the reader starts over.
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => self.over = true,
            }
            while out.len() < PIECE && !self.over {
                let Ok(signal) = self.signals.try_recv() else { break };
                self.signal(&signal, &mut out);
            }
        }
        Some(out.freeze())
    }

    fn begin(&mut self, out: &mut BytesMut) {
        while out.len() < PIECE {
            let Some((cluster, object)) = self.initial.next() else {
                self.initial_sent = true;
                self.over = self.only_list;
                self.bookmark(out, true);
                return;
            };
            line(out, "ADDED", &cluster, &object.bytes);
            self.shown.entry(cluster).or_default().insert(place(&object));
        }
    }

    fn bookmark(&self, out: &mut BytesMut, ends_initial: bool) {
        let mut object = bookmark_object(self.kind.kind, &self.kind.api_version(), 0, ends_initial);
        object["metadata"]["resourceVersion"] = json!("");
        out.put_slice(json!({"type": "BOOKMARK", "cluster": "", "object": object}).to_string().as_bytes());
        out.put_slice(b"\n");
    }

    fn signal(&mut self, signal: &Signal, out: &mut BytesMut) {
        match signal {
            Signal::Committed(cluster, events) => {
                for event in events.iter() {
                    self.event(cluster, event, out);
                }
            }
            Signal::Deleted(cluster) => self.forget(cluster, out),
            Signal::Loaded(_) | Signal::Unloaded(_) => {}
        }
    }

    fn event(&mut self, cluster: &ClusterId, event: &Event, out: &mut BytesMut) {
        if event.object.key.resource != self.resource {
            return;
        }
        let place = place(&event.object);
        if !self.listed.is_empty() {
            let key = (cluster.clone(), place.clone());
            if self.listed.get(&key).is_some_and(|listed| *listed >= event.revision) {
                return;
            }
        }
        let Some((what, object)) = seen(&self.filter, event) else { return };
        let shown = self.shown.entry(cluster.clone()).or_default();
        if what == "DELETED" {
            shown.remove(&place);
            if shown.is_empty() {
                self.shown.remove(cluster);
            }
        } else {
            shown.insert(place);
        }
        line(out, what, cluster, &object.bytes);
    }

    /// A cluster is gone: so is all that was in it.
    fn forget(&mut self, cluster: &ClusterId, out: &mut BytesMut) {
        for (namespace, name) in self.shown.remove(cluster).into_iter().flatten() {
            let mut object = json!({
                "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": {"name": &*name},
            });
            if !namespace.is_empty() {
                object["metadata"]["namespace"] = json!(&*namespace);
            }
            line(out, "DELETED", cluster, object.to_string().as_bytes());
        }
    }
}
