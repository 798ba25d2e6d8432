//! `GET /usage/v1/pods`: for the gateway, in the form of OCI's APIs.
//!
//! Query: `clusterId`, `namespace`, `from`, `to` (RFC 3339), `limit` (1 to 1000, default 100), `page` (from the header
//! `opc-next-page`). Answer: `{"items": [...]}`; all amounts are decimal strings, never floats.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{PRINCIPAL_HEADER, Principal};
use jiff::Timestamp;
use postgres::PgPool;
use problem::oci::Error;
use runtime::Peer;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Page, PodUsage, Position, Query, list_pods, visible_cluster};
use crate::metrics::Metrics;
use crate::rating::{self, Line, RULE, Window};

/// Pods in a page.
const DEFAULT_LIMIT: u32 = 100;
const LARGEST_LIMIT: u32 = 1000;
/// Who may say on whose behalf it calls.
const GATEWAY: &str = "api-gateway";

/// The routes of usage reports.
pub fn router(pool: PgPool) -> Router {
    Router::new()
        .route(
            "/usage/v1/pods",
            get(pods).fallback(async || Failure(Error::method_not_allowed("only GET is possible"))),
        )
        .fallback(async || Failure(Error::no_such_route("no such path")))
        .with_state(pool)
}

/// An error as the wire has it.
struct Failure(Error);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        (self.0.status, [(CONTENT_TYPE, json)], self.0.to_json()).into_response()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

async fn pods(State(pool): State<PgPool>, request: Request) -> Result<Response, Failure> {
    let started = Instant::now();
    let answer = report(&pool, request.into_parts().0).await;
    let outcome = match &answer {
        Ok(_) => "done",
        Err(Failure(error)) if error.status.is_client_error() => "refused",
        Err(_) => "failed",
    };
    Metrics::registered().called("list_pods", outcome, started.elapsed());
    answer
}

async fn report(pool: &PgPool, request: Parts) -> Result<Response, Failure> {
    let principal = principal(&request)?;
    let parameters = Parameters::parse(request.uri.query().unwrap_or_default())?;
    let Some(cluster) = visible_cluster(&principal, parameters.cluster_id.clone()) else {
        return Ok(reply(Page { pods: Vec::new(), next: None }));
    };
    let query = Query { cluster, ..parameters.query(principal)? };
    match list_pods(pool, &query).await {
        Ok(page) => Ok(reply(page)),
        Err(error) => {
            tracing::error!(%error, "could not read usage: {error}");
            Err(Error::unavailable("usage can't be read at the moment; try again").into())
        }
    }
}

fn principal(request: &Parts) -> Result<Principal, Error> {
    let peer = request.extensions.get::<Peer>().and_then(|peer| peer.common_name.as_deref());
    let header = request.headers.get(PRINCIPAL_HEADER).and_then(|value| value.to_str().ok());
    let principal = header.filter(|_| peer == Some(GATEWAY)).and_then(|value| Principal::from_header(value).ok());
    principal.ok_or_else(|| Error::not_authenticated("the caller is not known"))
}

fn reply(page: Page) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(next) = page.next.as_ref().and_then(|next| HeaderValue::from_str(&page_token(next)).ok()) {
        headers.insert("opc-next-page", next);
    }
    let items: Vec<PodBody> = page.pods.iter().map(PodBody::new).collect();
    (headers, Json(ListBody { items })).into_response()
}

/// The query string; what is not known is ignored, as OCI does.
#[derive(Debug, Default, PartialEq)]
struct Parameters {
    cluster_id: Option<String>,
    namespace: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: Option<u32>,
    page: Option<Position>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if value.contains('\0') {
                return Err(Error::invalid_parameter(format!("{name} has a NUL in it")));
            }
            match name.as_ref() {
                "clusterId" => parameters.cluster_id = Some(value.into_owned()),
                "namespace" => parameters.namespace = Some(value.into_owned()),
                "from" => parameters.from = Some(time("from", &value)?),
                "to" => parameters.to = Some(time("to", &value)?),
                "limit" => parameters.limit = Some(limit(&value)?),
                "page" => parameters.page = Some(position(&value)?),
                _ => {}
            }
        }
        match (parameters.from, parameters.to) {
            (Some(from), Some(to)) if from >= to => Err(Error::invalid_parameter("from must be before to")),
            _ => Ok(parameters),
        }
    }

    fn query(self, principal: Principal) -> Result<Query, Error> {
        Ok(Query {
            tenant: principal.tenant_id,
            cluster: self.cluster_id,
            namespace: self.namespace,
            window: Window {
                from_ms: self.from.map_or(i64::MIN, Timestamp::as_millisecond),
                to_ms: self.to.map_or(i64::MAX, Timestamp::as_millisecond),
            },
            limit: self.limit.unwrap_or(DEFAULT_LIMIT),
            after: self.page,
        })
    }
}

fn time(name: &str, value: &str) -> Result<Timestamp, Error> {
    let wrong = |_| Error::invalid_parameter(format!("{name} must be a time like 2026-01-31T12:00:00Z"));
    value.parse().map_err(wrong)
}

fn limit(value: &str) -> Result<u32, Error> {
    let limit = value.parse().ok().filter(|limit| (1..=LARGEST_LIMIT).contains(limit));
    limit.ok_or_else(|| Error::invalid_parameter(format!("limit must be a number from 1 to {LARGEST_LIMIT}")))
}

fn page_token(position: &Position) -> String {
    let Position { cluster, namespace, name, uid } = position;
    let json = serde_json::to_vec(&[cluster, namespace, name, uid]).expect("strings serialise");
    URL_SAFE_NO_PAD.encode(json)
}

fn position(token: &str) -> Result<Position, Error> {
    let read = || -> Option<Position> {
        let parts: [String; 4] = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let [cluster, namespace, name, uid] = parts;
        let position = Position { cluster, namespace, name, uid };
        (!format!("{position:?}").contains("\\0")).then_some(position)
    };
    read().ok_or_else(|| Error::invalid_parameter("page is not a value that opc-next-page gave"))
}

#[derive(Debug, Serialize, Deserialize)]
struct ListBody {
    items: Vec<PodBody>,
}

/// One pod's usage. OCPU and GB as the pod asked for and as charged are those of its last size.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodBody {
    pod_uid: String,
    cluster_id: String,
    compartment_id: String,
    namespace: String,
    name: String,
    shape: String,
    hosts: Vec<String>,
    first_seen: String,
    last_seen: String,
    ocpus: Decimal,
    #[serde(rename = "memoryInGBs")]
    memory_gb: Decimal,
    billed_ocpus: u64,
    #[serde(rename = "billedMemoryInGBs")]
    billed_memory_gb: u64,
    seconds: u64,
    ocpu_seconds: u64,
    gb_seconds: u64,
    cost: Decimal,
    currency: String,
    lines: Vec<LineBody>,
}

/// What one size costs by one rate card.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineBody {
    ocpus: Decimal,
    #[serde(rename = "memoryInGBs")]
    memory_gb: Decimal,
    billed_ocpus: u64,
    #[serde(rename = "billedMemoryInGBs")]
    billed_memory_gb: u64,
    seconds: u64,
    ocpu_seconds: u64,
    gb_seconds: u64,
    cost: Decimal,
    rate_card: String,
    ocpu_hour_price: Decimal,
    memory_gb_hour_price: Decimal,
    rule: String,
}

impl PodBody {
    fn new(pod: &PodUsage) -> Self {
        let lines: Vec<LineBody> = pod.lines.iter().map(LineBody::new).collect();
        let last = pod.lines.last().map(|line| line.size);
        let sum = |pick: fn(&LineBody) -> u64| lines.iter().map(pick).sum();
        let position = &pod.position;
        Self {
            pod_uid: position.uid.clone(),
            cluster_id: position.cluster.clone(),
            compartment_id: pod.compartment.clone(),
            namespace: position.namespace.clone(),
            name: position.name.clone(),
            shape: pod.shape.clone(),
            hosts: pod.sources.clone(),
            first_seen: instant(pod.first_ms),
            last_seen: instant(pod.last_ms),
            ocpus: last.map(rating::ocpus).unwrap_or_default(),
            memory_gb: last.map(rating::memory_gb).unwrap_or_default(),
            billed_ocpus: last.map_or(0, |size| size.billed().ocpus),
            billed_memory_gb: last.map_or(0, |size| size.billed().memory_gb),
            seconds: sum(|line| line.seconds),
            ocpu_seconds: sum(|line| line.ocpu_seconds),
            gb_seconds: sum(|line| line.gb_seconds),
            cost: lines.iter().map(|line| line.cost).sum::<Decimal>().normalize(),
            currency: pod.lines.first().map(|line| line.currency.clone()).unwrap_or_default(),
            lines,
        }
    }
}

impl LineBody {
    fn new(line: &Line) -> Self {
        Self {
            ocpus: rating::ocpus(line.size),
            memory_gb: rating::memory_gb(line.size),
            billed_ocpus: line.size.billed().ocpus,
            billed_memory_gb: line.size.billed().memory_gb,
            seconds: line.seconds,
            ocpu_seconds: line.ocpu_seconds(),
            gb_seconds: line.gb_seconds(),
            cost: line.cost.normalize(),
            rate_card: line.card.clone(),
            ocpu_hour_price: line.ocpu_hour,
            memory_gb_hour_price: line.memory_gb_hour,
            rule: RULE.to_owned(),
        }
    }
}

fn instant(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let parsed = Parameters::parse("clusterId=c&namespace=a%2Fb&from=2026-01-01T00:00:00Z&limit=5&x=1").unwrap();
        assert_eq!((parsed.cluster_id.as_deref(), parsed.namespace.as_deref()), (Some("c"), Some("a/b")));
        assert_eq!((parsed.limit, parsed.from.unwrap().as_second()), (Some(5), 1_767_225_600));
        assert_eq!(Parameters::parse("").unwrap(), Parameters::default());
    }

    #[test]
    fn bad_parameters_are_refused() {
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=x",
            "from=yesterday",
            "page=%%",
            "namespace=%00",
            "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        ] {
            let error = Parameters::parse(bad).unwrap_err();
            assert_eq!((error.code, error.status.as_u16()), ("InvalidParameter", 400), "{bad}");
        }
    }

    #[test]
    fn page_tokens_round_trip() {
        let at = Position { cluster: "c".into(), namespace: "n\"".into(), name: "p".into(), uid: "u".into() };
        assert_eq!(position(&page_token(&at)), Ok(at));
    }
}
