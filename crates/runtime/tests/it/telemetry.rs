//! Traces reach a collector, in one trace with the caller's.

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, body::Body, middleware, routing::get};
use http::Request;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use runtime::{config::Telemetry, request, telemetry};
use std::sync::Mutex;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status};
use tower::ServiceExt;

/// A collector that keeps what it is sent.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_exported_to_the_configured_collector() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let settings = Telemetry { filter: "info".into(), json: false, otlp_endpoint: Some(endpoint) };
    let guard = telemetry::start("sample", &settings).unwrap();
    let app = Router::new()
        .route("/x", get(async || request::current().unwrap().as_str().to_owned()))
        .layer(middleware::from_fn(request::identify));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/x?password=secret")
        .header("opc-request-id", "mine-7")
        .header("authorization", "Bearer secret")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    assert_eq!(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status(), 200);
    // The guard's end flushes, as it does at the end of a process.
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();

    let batches = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let batches = collector.0.lock().unwrap().clone();
            if !batches.is_empty() {
                return batches;
            }
            tokio::task::yield_now().await;
        }
    });
    let batches = batches.await.unwrap();
    let resource = &batches[0].resource_spans[0];
    assert_eq!(text(&resource.resource.as_ref().unwrap().attributes, "service.name"), "hako-sample");
    let spans = batches.iter().flat_map(|b| &b.resource_spans).flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
    let span = spans.clone().find(|span| span.name == "request").unwrap();
    assert_eq!(text(&span.attributes, "request.id"), "mine-7");
    assert_eq!(text(&span.attributes, "path"), "/x");
    let hex: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, trace, "the caller's trace goes on");
    assert!(!format!("{batches:?}").contains("secret"), "neither queries nor headers are exported");
}
