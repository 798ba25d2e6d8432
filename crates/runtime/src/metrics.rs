//! The process's one Prometheus registry, and its metrics about the process itself.

use std::sync::{Mutex, MutexGuard, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Inner;

/// Histograms of durations in seconds, by label.
pub type SecondsBy<L> = Family<L, Histogram, fn() -> Histogram>;

/// A histogram of how long requests, commits and the like take, in seconds: the same buckets everywhere, so that the
/// services' figures can be compared.
pub fn seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0])
}

/// A [`seconds`] for each label.
pub fn seconds_by<L: Clone + std::hash::Hash + Eq>() -> SecondsBy<L> {
    Family::new_with_constructor(seconds)
}

/// The registry that `/metrics` prints; parts register what they measure once, at start.
#[derive(Debug)]
pub struct Registry(Mutex<Inner>);

impl Registry {
    /// Gives access for registering metrics. Keep it short: a scrape waits meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds a gauge whose value is read at each scrape; `None` leaves it out. `read` must be quick: a scrape waits for it.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.lock().register_collector(Box::new(Reading { name, help, read }));
    }

    /// Prints all metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.lock()).expect("writing to a string can't fail");
        text
    }
}

/// The registry of this process.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut inner = Inner::default();
        inner.register_collector(Box::new(ProcessCollector));
        Registry(Mutex::new(inner))
    })
}

/// A gauge that is read at each scrape.
struct Reading<F> {
    name: &'static str,
    help: &'static str,
    read: F,
}

impl<F> std::fmt::Debug for Reading<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({})", self.name)
    }
}

impl<F: Fn() -> Option<f64> + Send + Sync + 'static> Collector for Reading<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(value) = (self.read)() else { return Ok(()) };
        let metric = ConstGauge::new(value);
        metric.encode(encoder.encode_descriptor(self.name, self.help, None, metric.metric_type())?)
    }
}

/// Memory, processor time and open files, read from `/proc/self` at each scrape.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(descriptor)
        };
        if let Some(value) = resident_bytes() {
            gauge("process_resident_memory_bytes", "Resident memory in bytes", value)?;
        }
        if let Some(value) = cpu_seconds() {
            gauge("process_cpu_seconds", "User and system processor time in seconds", value)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge("process_open_fds", "Open file descriptors", files.count() as f64)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    // Fields 14 and 15 of proc(5) stat, counted after the parenthesised name; clock ticks are 1/100 s on Linux.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_are_printed() {
        let text = registry().encode();
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
        assert!(text.contains("process_cpu_seconds"), "{text}");
    }

    #[test]
    fn a_gauge_is_read_at_each_scrape_and_may_be_absent() {
        use std::sync::atomic::{AtomicI64, Ordering};
        static LEVEL: AtomicI64 = AtomicI64::new(-1);
        let level = || Some(LEVEL.load(Ordering::Relaxed)).filter(|level| *level >= 0);
        registry().gauge("test_level", "A level", move || level().map(|level| level as f64));
        assert!(!registry().encode().contains("test_level"));
        LEVEL.store(7, Ordering::Relaxed);
        assert!(registry().encode().contains("\ntest_level 7"), "{}", registry().encode());
    }
}
