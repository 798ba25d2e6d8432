//! What all parts of one agent share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::cri::{Cri, v1};
use crate::network::Network;
use crate::outbox::Outbox;
use crate::paths::Paths;
use crate::usage::Journal;

/// See the module. One per agent, behind an `Arc`.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// containerd.
    pub cri: Cri,
    /// The state directory's layout.
    pub paths: Paths,
    /// Tenant networks.
    pub network: Network,
    /// The usage journal.
    pub journal: Journal,
    /// What control has to hear.
    pub outbox: Outbox,
    /// The host's own resolver settings.
    pub host_dns: v1::DnsConfig,
    /// Bounds how many images are pulled at a time.
    pub pulls: crate::pod::pulls::Pulls,
    /// Every task of the agent.
    pub tasks: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
}

/// Shared by all tasks.
pub type Shared = Arc<Context>;

impl Context {
    /// Tells the pod's owner something.
    pub fn event(&self, uid: &str, kind: &str, reason: &str, message: impl Into<String>, container: &str) {
        self.outbox.event(uid, kind, reason, message.into(), container);
    }
}
