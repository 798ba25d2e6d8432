//! Watching: events as they are committed, wrapped around the stored bytes.

use crate::{
    call::Call,
    meta,
    negotiate::Form,
    respond,
    table::{self, Include, Table},
    verb::list::{Filter, reached, version},
};
use axum::{body::Body, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{FutureExt, stream};
use http::{HeaderValue, StatusCode, header};
use kube_schema::Kind;
use kube_store::{Event, EventKind, Object, Watch};
use problem::kube::{Cause, Status};
use prometheus_client::metrics::gauge::Gauge;
use rand::Rng;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Annotation of the bookmark that ends the initial events. Source: KEP-3157.
pub(crate) const INITIAL_END: &str = "k8s.io/initial-events-end";
/// Bytes that are gathered before they are sent, while more events are ready.
const PIECE: usize = 32 * 1024;

/// How events are shown to one watcher.
struct Shape {
    kind: &'static Kind,
    form: Form,
    include: Include,
    columns_sent: bool,
}

impl Shape {
    fn event(&mut self, out: &mut BytesMut, what: &str, object: &Object) {
        out.put_slice(b"{\"type\":\"");
        out.put_slice(what.as_bytes());
        out.put_slice(b"\",\"object\":");
        match self.form {
            Form::Object => out.put_slice(&respond::bytes_in(self.kind, object)),
            Form::Metadata(version) => out.put_slice(table::metadata_of(&object.bytes, version).as_bytes()),
            Form::Table(version) => {
                let mut table = self.table(version);
                table.add(object);
                out.put_slice(table.finish(&object.revision.to_string(), None, None).as_bytes());
            }
        }
        out.put_slice(b"}\n");
    }

    fn table(&mut self, version: &'static str) -> Table {
        let table = Table::new(self.kind, version, self.include);
        if std::mem::replace(&mut self.columns_sent, true) { table.without_columns() } else { table }
    }

    fn bookmark(&mut self, out: &mut BytesMut, revision: u64, ends_initial: bool) {
        let object = match self.form {
            Form::Table(version) => {
                let text = self.table(version).finish(&revision.to_string(), None, None);
                serde_json::from_str(&text).expect("a table is JSON")
            }
            Form::Metadata(version) => {
                bookmark_object("PartialObjectMetadata", &format!("meta.k8s.io/{version}"), revision, ends_initial)
            }
            Form::Object => bookmark_object(self.kind.kind, &self.kind.api_version(), revision, ends_initial),
        };
        let line = json!({"type": "BOOKMARK", "object": object}).to_string();
        out.put_slice(line.as_bytes());
        out.put_slice(b"\n");
    }
}

/// An object with nothing but a version.
pub(crate) fn bookmark_object(kind: &str, api_version: &str, revision: u64, ends_initial: bool) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
    if ends_initial {
        metadata["annotations"] = json!({INITIAL_END: "true"});
    }
    json!({"kind": kind, "apiVersion": api_version, "metadata": metadata})
}

/// What a watcher with a filter sees of an event: objects that come into view are added, those that leave it deleted.
pub(crate) fn seen(filter: &Filter, event: &Event) -> Option<(&'static str, Arc<Object>)> {
    let now = !event.is_deletion() && filter.matches(&event.object);
    let before = match &event.previous {
        Some(previous) => filter.matches(previous),
        None => event.is_deletion() && filter.matches(&event.object),
    };
    match (before, now) {
        (false, true) => Some(("ADDED", Arc::clone(&event.object))),
        (true, true) if event.kind == EventKind::Added => Some(("ADDED", Arc::clone(&event.object))),
        (true, true) => Some(("MODIFIED", Arc::clone(&event.object))),
        (true, false) if event.is_deletion() => Some(("DELETED", Arc::clone(&event.object))),
        (true, false) => event.previous.as_ref().map(|previous| ("DELETED", at_version(previous, event.revision))),
        (false, false) => None,
    }
}

/// An object's old state, with a newer version.
fn at_version(object: &Object, revision: u64) -> Arc<Object> {
    let mut value = object.value();
    if let Ok(meta) = meta::map(&mut value) {
        meta.insert("resourceVersion".into(), revision.to_string().into());
    }
    let bytes = Bytes::from(value.to_string());
    Arc::new(Object { key: object.key.clone(), revision, bytes, meta: object.meta.clone() })
}

struct Options {
    start: Start,
    bookmarks: bool,
    timeout: Duration,
}

enum Start {
    /// All objects first; then, if set, a bookmark that says so.
    Everything { with_bookmark: bool },
    /// Events after a version.
    After(u64),
    /// Events from now on.
    Now,
}

fn options(call: &Call) -> Result<Options, Status> {
    let query = &call.query;
    let invalid = |cause| Err(Status::invalid("ListOptions.meta.k8s.io", "", &[cause]));
    let bookmarks = query.flag("allowWatchBookmarks");
    let initial = query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
    let matching = query.get("resourceVersionMatch");
    if initial.is_some() && matching != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        return invalid(Cause::forbidden("resourceVersionMatch", why));
    }
    if initial.is_none() && matching.is_some() {
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        return invalid(Cause::forbidden("resourceVersionMatch", why));
    }
    let version = version(query)?;
    let start = match (initial, version) {
        (Some(true), version) => {
            version.map_or(Ok(()), |version| reached(&call.cluster, version))?;
            Start::Everything { with_bookmark: bookmarks }
        }
        (_, Some(version)) => Start::After(version),
        (Some(false), None) => Start::Now,
        (None, None) => Start::Everything { with_bookmark: false },
    };
    let usual = call.state.config.watch_timeout.mul_f64(rand::rng().random_range(1.0..2.0));
    let asked = query.number::<u64>("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    Ok(Options { start, bookmarks, timeout: asked.map_or(usual, Duration::from_secs) })
}

/// Counts a watch while it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    /// Counts from now on.
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Stream {
    watch: Watch,
    filter: Filter,
    namespace: Option<String>,
    shape: Shape,
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Revision of the bookmark that ends the initial events, until it is sent.
    initial_end: Option<u64>,
    bookmarks: Option<Interval>,
    sent: u64,
    deadline: Instant,
    over: bool,
    _counted: Counted,
}

/// `GET ?watch=true`.
///
/// # Errors
/// 400 or 422 for bad options. A version that is gone is an ERROR event, as upstream does.
pub(crate) fn watch(call: &Call, name: Option<&str>) -> Result<Response, Status> {
    let filter = match name {
        Some(name) => Filter::named(name)?,
        None => Filter::parse(call.kind, &call.query)?,
    };
    let options = options(call)?;
    let shape =
        Shape { kind: call.kind, form: call.answer.form, include: Include::parse(&call.query)?, columns_sent: false };
    let resource = call.kind.resource();
    let (after, initial, initial_end) = match options.start {
        Start::After(version) => (version, Vec::new(), None),
        Start::Now => (call.cluster.revision(), Vec::new(), None),
        Start::Everything { with_bookmark } => {
            let (revision, mut objects) = call.cluster.list(resource, call.scope());
            objects.retain(|object| filter.matches(object));
            (revision, objects, with_bookmark.then_some(revision))
        }
    };
    let watch = match call.cluster.watch(resource, after) {
        Ok(watch) => watch,
        Err(expired) => return Ok(error_event(&Status::gone_expired(&expired.to_string()))),
    };
    let every = call.state.config.bookmark_every;
    let bookmarks = options.bookmarks.then(|| {
        let mut interval = tokio::time::interval_at(Instant::now() + every, every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    });
    let stream = Stream {
        watch,
        filter,
        namespace: call.scope().map(str::to_owned),
        shape,
        initial: initial.into_iter(),
        initial_end,
        bookmarks,
        sent: after,
        deadline: Instant::now() + options.timeout,
        over: false,
        _counted: Counted::new(&call.state.metrics.watches),
    };
    let pieces = stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|piece| (Ok::<_, Infallible>(piece), stream))
    });
    Ok(streaming(Body::from_stream(pieces)))
}

/// An endless answer of lines of JSON.
pub(crate) fn streaming(body: Body) -> Response {
    let mut response = respond::json(StatusCode::OK, Bytes::new());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;stream=watch"));
    *response.body_mut() = body;
    response
}

fn error_event(status: &Status) -> Response {
    let line = json!({"type": "ERROR", "object": status.to_value()}).to_string() + "\n";
    streaming(Body::from(line))
}

impl Stream {
    /// The next piece; `None` at the end. Only waits where nothing can be lost.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while out.is_empty() {
            if self.over {
                return None;
            }
            if self.begin(&mut out) {
                continue;
            }
            tokio::select! {
                event = self.watch.next() => match event {
                    Some(event) => self.events(event, &mut out),
                    None => self.over = true,
                },
                () = tick(&mut self.bookmarks) => self.bookmark(&mut out),
                () = tokio::time::sleep_until(self.deadline) => {
                    if self.bookmarks.is_some() {
                        self.bookmark(&mut out);
                    }
                    self.over = true;
                }
            }
        }
        Some(out.freeze())
    }

    /// Writes some of the initial events; false when they are all written.
    fn begin(&mut self, out: &mut BytesMut) -> bool {
        while out.len() < PIECE {
            match self.initial.next() {
                Some(object) => self.shape.event(out, "ADDED", &object),
                None => {
                    if let Some(revision) = self.initial_end.take() {
                        self.shape.bookmark(out, revision, true);
                    }
                    break;
                }
            }
        }
        !out.is_empty()
    }

    /// Writes an event and those that are ready behind it.
    fn events(&mut self, first: Arc<Event>, out: &mut BytesMut) {
        let mut next = Some(first);
        while let Some(event) = next {
            self.event(&event, out);
            if out.len() >= PIECE {
                return;
            }
            next = match self.watch.next().now_or_never() {
                Some(Some(event)) => Some(event),
                Some(None) => {
                    self.over = true;
                    None
                }
                None => None,
            };
        }
    }

    fn event(&mut self, event: &Event, out: &mut BytesMut) {
        self.sent = event.revision;
        if self.namespace.as_deref().is_some_and(|namespace| *event.object.key.namespace != *namespace) {
            return;
        }
        if let Some((what, object)) = seen(&self.filter, event) {
            self.shape.event(out, what, &object);
        }
    }

    fn bookmark(&mut self, out: &mut BytesMut) {
        let revision = self.watch.progress().unwrap_or(self.sent);
        self.shape.bookmark(out, revision, false);
    }
}

async fn tick(bookmarks: &mut Option<Interval>) {
    match bookmarks {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_store::{Key, Meta};

    fn object(revision: u64, label: &str) -> Arc<Object> {
        let labels = [("a".to_owned(), label.to_owned())].into();
        let bytes = json!({"metadata": {"resourceVersion": revision.to_string()}}).to_string().into();
        Arc::new(Object { key: Key::new("pods", "n", "x"), revision, bytes, meta: Meta { labels, ..Meta::default() } })
    }

    #[track_caller]
    fn check(kind: EventKind, before: Option<&str>, now: &str, expect: Option<(&str, u64)>) {
        let query = crate::query::Query::parse(Some("labelSelector=a%3Db")).unwrap();
        let filter = Filter::parse(kube_schema::by_plural("", "v1", "pods").unwrap(), &query).unwrap();
        let event = Event { kind, revision: 7, object: object(7, now), previous: before.map(|b| object(3, b)) };
        let seen = seen(&filter, &event).map(|(what, object)| (what, object.revision));
        assert_eq!(seen, expect);
    }

    #[test]
    fn transitions_of_selectors_are_additions_and_deletions() {
        check(EventKind::Added, None, "b", Some(("ADDED", 7)));
        check(EventKind::Added, None, "c", None);
        check(EventKind::Modified, Some("c"), "b", Some(("ADDED", 7)));
        check(EventKind::Modified, Some("b"), "b", Some(("MODIFIED", 7)));
        check(EventKind::Modified, Some("b"), "c", Some(("DELETED", 7)));
        check(EventKind::Deleted, Some("b"), "b", Some(("DELETED", 7)));
        check(EventKind::Deleted, Some("c"), "c", None);
    }
}
