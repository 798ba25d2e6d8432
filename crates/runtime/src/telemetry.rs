//! Logs to stderr (text or JSON) and, when an endpoint is configured, traces over OTLP.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::Telemetry;

/// Flushes what is still to be exported when it is dropped at the end of the process.
#[derive(Debug, Default)]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "could not flush traces: {error}");
        }
    }
}

/// Starts logging for `service`; call once, inside a tokio runtime. A second call changes nothing.
///
/// # Errors
/// If the filter can't be parsed or the OTLP endpoint is no URL.
pub fn start(service: &'static str, settings: &Telemetry) -> anyhow::Result<Guard> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|e| anyhow::anyhow!("RUST_LOG={:?} is not valid: {e}", settings.filter))?;
    let provider = settings.otlp_endpoint.as_deref().map(|url| exporter(service, url)).transpose()?;
    let traces = provider.as_ref().map(|p| tracing_opentelemetry::layer().with_tracer(p.tracer(service)));
    let lines = if settings.json {
        fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().with_ansi(false).with_writer(std::io::stderr).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(traces).with(lines);
    // In `hako up` all services share one process: the first one's telemetry stays.
    if subscriber.try_init().is_err() {
        return Ok(Guard::default());
    }
    Ok(Guard(provider))
}

fn exporter(service: &'static str, url: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(url).build()?;
    let resource = Resource::builder().with_service_name(format!("hako-{service}")).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
