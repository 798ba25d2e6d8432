//! One request to a resource, read and authorised.

use crate::{
    actor::Actor,
    negotiate::Answer,
    path::ResourcePath,
    query::Query,
    state::{ApiState, ClusterFacts},
};
use http::HeaderMap;
use kube_schema::Kind;
use kube_store::Cluster;
use problem::kube::{Cause, Status};
use serde_json::json;
use std::sync::Arc;

/// One request to a resource.
pub(crate) struct Call {
    pub(crate) state: Arc<ApiState>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) facts: Arc<ClusterFacts>,
    pub(crate) actor: Actor,
    pub(crate) kind: &'static Kind,
    pub(crate) path: ResourcePath,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) answer: Answer,
}

impl Call {
    /// The namespace in the path, empty if none is.
    pub(crate) fn namespace(&self) -> &str {
        self.path.namespace.as_deref().unwrap_or_default()
    }

    /// The namespace that a list is limited to.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.path.namespace.as_deref()
    }

    /// Whether nothing shall really happen.
    ///
    /// # Errors
    /// 422 for anything but `All`.
    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        match self.query.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                let cause = Cause::not_supported("dryRun", &json!(other), &["All"]);
                Err(Status::invalid("CreateOptions.meta.k8s.io", "", &[cause]))
            }
        }
    }
}
