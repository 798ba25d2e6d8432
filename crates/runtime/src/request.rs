//! Request ids and trace context: taken from the caller or made here, in every log line of the
//! request, and passed on to the next service.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header that carries a request's id through all services and back to the caller.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");

/// Longest id that is taken from a caller; longer ones are replaced.
const MAX_ID_BYTES: usize = 128;

/// A request's id, as an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Axum middleware: `router.layer(axum::middleware::from_fn(runtime::request::identify))`.
///
/// Gives the request an id (the caller's, if it is well-formed), opens a span that carries it and
/// continues the caller's trace, and returns the id in the answer.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let id = incoming(request.headers());
    request.headers_mut().insert(REQUEST_ID, id.0.clone());
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request.id = id.as_str(), method = %request.method(),
        path = request.uri().path(), status = tracing::field::Empty);
    let parent = opentelemetry::global::get_text_map_propagator(|p| p.extract(&Headers(request.headers())));
    // Without a subscriber that exports traces there is nothing to attach to.
    let _ = span.set_parent(parent);
    let current = id.clone();
    let work = async move {
        let mut response = next.run(request).await;
        tracing::Span::current().record("status", response.status().as_u16());
        response.headers_mut().entry(REQUEST_ID).or_insert(id.0);
        response
    };
    CURRENT.scope(current, work.instrument(span)).await
}

/// Runs `work` as part of the request `id`: [`propagate`] then passes that id on.
pub async fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// `work` as a part of the current request, for a task of its own: its logs carry the request's id, and what it asks of
/// others does too.
pub fn carry<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let (id, span) = (current(), tracing::Span::current());
    let work = async move {
        match id {
            Some(id) => scope(id, work).await,
            None => work.await,
        }
    };
    work.instrument(span)
}

/// The id of the request that the current task serves, if it serves one.
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Adds the current request's id and trace context to the headers of an outgoing request.
pub fn propagate(headers: &mut HeaderMap) {
    if let Some(id) = current() {
        headers.entry(REQUEST_ID).or_insert(id.0);
    }
    let context = tracing::Span::current().context();
    opentelemetry::global::get_text_map_propagator(|p| p.inject_context(&context, &mut HeadersMut(headers)));
}

/// The caller's id if it is printable and short, else a new one.
pub fn incoming(headers: &HeaderMap) -> RequestId {
    match headers.get(REQUEST_ID) {
        Some(id) if well_formed(id.as_bytes()) => RequestId(id.clone()),
        _ => generate(),
    }
}

/// A new id: 32 uppercase hexadecimal digits, as OCI's.
pub fn generate() -> RequestId {
    let mut random = [0u8; 16];
    crate::tls::fill_random(&mut random);
    let text: String = random.iter().map(|b| format!("{b:02X}")).collect();
    RequestId(HeaderValue::from_str(&text).expect("hexadecimal digits make a header value"))
}

fn well_formed(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_/.:".contains(b))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| v.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_id_is_kept_if_well_formed() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("abc-1/2"));
        assert_eq!(incoming(&headers).as_str(), "abc-1/2");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b\"c"));
        assert_eq!(incoming(&headers).as_str().len(), 32);
    }

    #[tokio::test]
    async fn a_task_of_its_own_still_belongs_to_the_request() {
        let id = RequestId(HeaderValue::from_static("mine"));
        let seen_by_a_task = async || tokio::spawn(carry(async { current() })).await.unwrap();
        assert_eq!(scope(id.clone(), seen_by_a_task()).await, Some(id));
        assert_eq!(seen_by_a_task().await, None);
    }

    #[test]
    fn made_ids_differ() {
        assert_ne!(generate(), generate());
    }
}
