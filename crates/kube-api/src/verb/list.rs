//! Reading many objects: selectors, paging, exact versions.

use crate::{
    call::Call,
    negotiate::{Encoding, Form},
    query::Query,
    respond,
    selector::{FieldSelector, LabelSelector},
    table::{self, Include, Table},
};
use axum::{body::Body, response::Response};
use base64::Engine;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, stream};
use http::{HeaderValue, StatusCode, header};
use kube_schema::Kind;
use kube_store::{Cluster, Expired, Object};
use problem::kube::{Cause, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

/// Bytes of a list that are sent as one piece: a frame of the gateway's size.
const PIECE: usize = 256 * 1024;
/// Room for the last item of a piece, so that the piece is not moved for it.
const ROOM: usize = 16 * 1024;

/// Which objects are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    /// Reads `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// 400 if one is malformed or names a field that can't be selected.
    pub(crate) fn parse(kind: &Kind, query: &Query) -> Result<Self, Status> {
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default())?;
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default())?;
        let known = kube_kinds::selectable_names(kind.resource());
        let fields = fields.renamed(|field| kube_kinds::stored_field(kind, field));
        for test in fields.tests() {
            let field = test.field.as_str();
            if known.contains(&field) {
                continue;
            }
            let plain = known.iter().all(|name| matches!(*name, "metadata.name" | "metadata.namespace"));
            return Err(Status::bad_request(if plain {
                format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            } else {
                format!("field label not supported: {field}")
            }));
        }
        Ok(Self { labels, fields })
    }

    /// Only the object of this name.
    pub(crate) fn named(name: &str) -> Result<Self, Status> {
        Ok(Self { labels: LabelSelector::default(), fields: FieldSelector::parse(&format!("metadata.name={name}"))? })
    }

    /// Whether everything is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object is wanted.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let fields = self.fields.tests().iter().all(|test| {
            let value = match test.field.as_str() {
                "metadata.name" => &*object.key.name,
                "metadata.namespace" => &*object.key.namespace,
                field => object.meta.fields.iter().find(|(name, _)| *name == field).map_or("", |(_, v)| v.as_str()),
            };
            (value == test.value) == test.equal
        });
        fields && (self.labels.is_empty() || self.labels.matches(&object.meta.labels))
    }
}

/// Where a list goes on.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

impl Continue {
    fn encode(revision: i64, last: &Object) -> String {
        let start = format!("{}/{}", last.key.namespace, last.key.name);
        Self { v: "meta.k8s.io/v1".into(), rv: revision, start }.text()
    }

    fn text(&self) -> String {
        let json = serde_json::to_vec(self).expect("a token has only text and a number");
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let fail = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| fail(&error.to_string()))?;
        let token: Self = serde_json::from_slice(&json).map_err(|error| fail(&error.to_string()))?;
        if token.v != "meta.k8s.io/v1" || token.rv == 0 || !token.start.contains('/') {
            return Err(fail("incorrect encoded start resourceVersion or key"));
        }
        Ok(token)
    }

    fn is_before(&self, object: &Object) -> bool {
        let (namespace, name) = self.start.split_once('/').unwrap_or(("", &self.start));
        (&*object.key.namespace, &*object.key.name) > (namespace, name)
    }
}

/// A non-zero `resourceVersion`.
///
/// # Errors
/// 400 if it is no number.
pub(crate) fn version(query: &Query) -> Result<Option<u64>, Status> {
    let Some(text) = query.get("resourceVersion").filter(|text| *text != "0") else { return Ok(None) };
    let why = || {
        let cause = Cause::invalid("resourceVersion", &json!(text), "strconv.ParseUint: parsing: invalid syntax");
        Status::invalid("ListOptions.meta.k8s.io", "", &[cause])
    };
    text.parse().map(Some).map_err(|_| why())
}

/// Refuses versions that no write has made yet.
///
/// # Errors
/// 504, as upstream does after a wait.
pub(crate) fn reached(cluster: &Cluster, wanted: u64) -> Result<(), Status> {
    let current = cluster.revision();
    if wanted <= current {
        return Ok(());
    }
    let late = Status::timeout(format!("Timeout: Too large resource version: {wanted}, current: {current}"));
    // client-go starts over from the newest version when it sees this cause.
    Err(late.with_cause("ResourceVersionTooLarge", "Too large resource version", "").retry_in(1))
}

fn exact(query: &Query) -> Result<Option<u64>, Status> {
    let version = version(query)?;
    let forbidden = |detail: &str| {
        let cause = Cause::forbidden("resourceVersionMatch", detail);
        Err(Status::invalid("ListOptions.meta.k8s.io", "", &[cause]))
    };
    match query.get("resourceVersionMatch") {
        None => Ok(version.filter(|_| query.get("limit").is_some())),
        Some(_) if query.get("resourceVersion").is_none() => {
            forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        Some(_) if query.get("continue").is_some() => {
            forbidden("resourceVersionMatch is forbidden when continue is provided")
        }
        Some("NotOlderThan") => Ok(None),
        Some("Exact") if version.is_none() => {
            forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        Some("Exact") => Ok(version),
        Some(other) => {
            let cause = Cause::not_supported("resourceVersionMatch", &json!(other), &["Exact", "NotOlderThan", ""]);
            Err(Status::invalid("ListOptions.meta.k8s.io", "", &[cause]))
        }
    }
}

/// Objects of a resource as they were at a revision: the present ones with later events undone.
fn at_revision(
    cluster: &Arc<Cluster>,
    resource: &str,
    namespace: Option<&str>,
    revision: u64,
) -> Result<Vec<Arc<Object>>, Expired> {
    let (current, objects) = cluster.list(resource, namespace);
    if revision >= current {
        return Ok(objects);
    }
    let mut watch = cluster.watch(resource, revision)?;
    let mut events = Vec::new();
    // Kept events are ready at once; the budget that makes tokio's futures wait at times must not end this early.
    while let Some(Some(event)) = tokio::task::unconstrained(watch.next()).now_or_never() {
        if event.revision > current {
            break;
        }
        events.push(event);
    }
    let mut state: BTreeMap<_, _> = objects.into_iter().map(|object| (object.key.clone(), object)).collect();
    for event in events.iter().rev().filter(|event| namespace.is_none_or(|ns| *event.object.key.namespace == *ns)) {
        match &event.previous {
            Some(previous) => state.insert(previous.key.clone(), Arc::clone(previous)),
            None => state.remove(&event.object.key),
        };
    }
    Ok(state.into_values().collect())
}

struct Page {
    revision: u64,
    items: Vec<Arc<Object>>,
    next: Option<String>,
    remaining: Option<usize>,
}

enum Outcome {
    Page(Page),
    /// The list's version is gone; where one could go on without consistency.
    Expired(Option<String>),
}

fn page(call: &Call, filter: &Filter) -> Result<Outcome, Status> {
    if call.query.get("sendInitialEvents").is_some() {
        let cause = Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
        return Err(Status::invalid("ListOptions.meta.k8s.io", "", &[cause]));
    }
    let limit = call.query.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0);
    let token = call.query.get("continue").map(Continue::decode).transpose()?;
    if token.is_some() && version(&call.query)?.is_some() {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let exact = exact(&call.query)?;
    if let Some(wanted) = version(&call.query)? {
        reached(&call.cluster, wanted)?;
    }
    let at = match &token {
        Some(token) => u64::try_from(token.rv).ok(),
        None => exact,
    };
    let (resource, namespace) = (call.kind.resource(), call.scope());
    let (revision, mut items) = match at {
        None => call.cluster.list(resource, namespace),
        Some(at) => match at_revision(&call.cluster, resource, namespace, at) {
            Ok(items) => (at, items),
            Err(_) => {
                let anyway = token.map(|token| Continue { rv: -1, ..token }.text());
                return Ok(Outcome::Expired(anyway));
            }
        },
    };
    if let Some(token) = &token {
        items.retain(|object| token.is_before(object));
    }
    if !filter.is_empty() {
        items.retain(|object| filter.matches(object));
    }
    let (mut next, mut remaining) = (None, None);
    if let Some(limit) = limit.filter(|limit| items.len() > *limit) {
        remaining = filter.is_empty().then_some(items.len() - limit);
        items.truncate(limit);
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        next = items.last().map(|last| Continue::encode(revision, last));
    }
    Ok(Outcome::Page(Page { revision, items, next, remaining }))
}

/// `GET` of a collection.
///
/// # Errors
/// 400 for bad selectors or tokens, 410 for a version that is gone, 504 for one that is not reached.
pub(crate) fn list(call: &Call) -> Result<Response, Status> {
    let filter = Filter::parse(call.kind, &call.query)?;
    let include = Include::parse(&call.query)?;
    let page = match page(call, &filter)? {
        Outcome::Page(page) => page,
        Outcome::Expired(token) => return Ok(expired(token)),
    };
    let version = page.revision.to_string();
    match call.answer.form {
        Form::Table(of) => {
            let mut table = Table::new(call.kind, of, include);
            page.items.iter().for_each(|object| table.add(object));
            let text = table.finish(&version, page.next.as_deref(), page.remaining);
            Ok(respond::encoded(StatusCode::OK, text.into(), call.answer.encoding))
        }
        Form::Metadata(of) => {
            let items: Vec<Bytes> = page.items.iter().map(|o| table::metadata_of(&o.bytes, of).into()).collect();
            let head = ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{of}"));
            Ok(joined(call, head, &page, items))
        }
        Form::Object => {
            let items: Vec<Bytes> = page.items.iter().map(|object| respond::bytes_in(call.kind, object)).collect();
            Ok(joined(call, (call.kind.list_kind(), call.kind.api_version()), &page, items))
        }
    }
}

fn expired(token: Option<String>) -> Response {
    let Some(token) = token else {
        return respond::failure(&Status::gone_expired("The resourceVersion for the provided list is too old."));
    };
    let status = Status::gone_expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let mut value = status.to_value();
    value["metadata"]["continue"] = json!(token);
    respond::value(StatusCode::GONE, &value)
}

/// Joins items to a list, and sends it piece by piece.
fn joined(call: &Call, (kind, version): (String, String), page: &Page, items: Vec<Bytes>) -> Response {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        metadata["continue"] = json!(next);
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let head = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":[");
    let length = head.len() + items.iter().map(Bytes::len).sum::<usize>() + items.len().saturating_sub(1) + 2;
    let pieces = pieces(head.into(), items);
    if call.answer.encoding == Encoding::Yaml {
        let whole: BytesMut = pieces.fold(BytesMut::with_capacity(length), |mut all, piece| {
            all.extend_from_slice(&piece);
            all
        });
        return respond::encoded(StatusCode::OK, whole.freeze(), Encoding::Yaml);
    }
    let mut response = respond::json(StatusCode::OK, Bytes::new());
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
    response
}

fn pieces(head: Bytes, items: Vec<Bytes>) -> impl Iterator<Item = Bytes> {
    let mut items = items.into_iter().peekable();
    let (mut head, mut over) = (Some(head), false);
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut piece = BytesMut::with_capacity(PIECE + ROOM);
        if let Some(head) = head.take() {
            piece.extend_from_slice(&head);
        }
        while piece.len() < PIECE {
            let Some(item) = items.next() else {
                piece.extend_from_slice(b"]}");
                over = true;
                break;
            };
            piece.extend_from_slice(&item);
            if items.peek().is_some() {
                piece.extend_from_slice(b",");
            }
        }
        Some(piece.freeze())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn pieces_make_one_list() {
        let items: Vec<Bytes> =
            (0..5000).map(|n| Bytes::from(format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(50)))).collect();
        let all: Vec<u8> = pieces("{\"items\":[".into(), items).flatten().collect();
        let value: Value = serde_json::from_slice(&all).unwrap();
        assert_eq!(value["items"].as_array().unwrap().len(), 5000);
        let none: Vec<u8> = pieces("{\"items\":[".into(), Vec::new()).flatten().collect();
        assert_eq!(none, b"{\"items\":[]}");
    }

    #[test]
    fn broken_tokens_are_refused() {
        assert!(Continue::decode("%%").is_err());
        assert!(Continue::decode("e30").is_err());
        let text = Continue { v: "meta.k8s.io/v1".into(), rv: 4, start: "a/b".into() }.text();
        assert_eq!(Continue::decode(&text).unwrap().rv, 4);
    }
}
