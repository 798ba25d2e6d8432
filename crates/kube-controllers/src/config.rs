//! The knobs of the controllers.

use crate::node::Patience;
use std::time::Duration;

/// How the controllers work. All times are wall-clock.
#[derive(Debug, Clone)]
pub struct Config {
    /// PEM of the CA that pods trust for the API server: goes into each namespace's `kube-root-ca.crt`.
    pub ca_pem: String,
    /// Reconciliations at the same time, over all clusters. Default 16: they mostly wait for commits.
    pub workers: usize,
    /// Time between two looks at everything in memory, in case a notice was lost. Default 10 minutes.
    pub resync: Duration,
    /// When a node counts as lost, and how long pods stay on it. Defaults: 40 s and 300 s, as upstream.
    pub patience: Patience,
    /// How long a node must be gone before its pods are removed. Default 5 s: upstream's 40 s are for slow caches.
    pub node_gone: Duration,
    /// How many ended pods a cluster keeps. Source: `--terminated-pod-gc-threshold`, 12,500.
    pub ended_pods: usize,
    /// How long Events are kept. Source: `--event-ttl` of kube-apiserver, one hour.
    pub event_ttl: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ca_pem: String::new(),
            workers: 16,
            resync: Duration::from_secs(600),
            patience: Patience::default(),
            node_gone: Duration::from_secs(5),
            ended_pods: 12_500,
            event_ttl: Duration::from_secs(3600),
        }
    }
}
