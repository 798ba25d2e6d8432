//! The operations of OCI that are not offered, and why: callers are told, instead of that the path is unknown.
//!
//! `offered/operations.json` is the whole truth about what is offered: `cargo xtask gen` makes the table in docs/ of it,
//! and `tests/it/oci.rs` checks each line against what OCI's SDK gets. A route always comes first: a line says why there
//! is none.

use axum::extract::OriginalUri;
use http::Method;
use problem::oci;
use serde::Deserialize;
use std::sync::LazyLock;

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("offered/operations.json")).expect("the file is checked by a test")
});

/// One operation of one of OCI's services.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    /// Module of the Python SDK.
    #[allow(dead_code, reason = "for the table and the SDK's test")]
    service: String,
    /// Method of the SDK's client.
    operation: String,
    method: String,
    /// With `{names}` for what varies.
    path: String,
    /// Why it is not offered; absent: it works.
    refused: Option<String>,
}

impl Operation {
    fn is_of(&self, method: &Method, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        let same = |(a, b): (&str, &str)| a.starts_with('{') || a == b;
        self.method == method.as_str() && ours.by_ref().zip(theirs.by_ref()).all(same) && self.depth() == depth(path)
    }

    fn depth(&self) -> usize {
        depth(&self.path)
    }
}

fn depth(path: &str) -> usize {
    path.split('/').count()
}

/// What a request is answered that has no route: why, if it is one of OCI's operations. Source of code and status: OCI's
/// list of API errors.
pub(crate) fn refusal(method: &Method, uri: &OriginalUri) -> Option<oci::Error> {
    let operation = OPERATIONS.iter().find(|operation| operation.is_of(method, uri.0.path()))?;
    let reason = operation.refused.as_ref()?;
    Some(oci::Error::not_implemented(format!("{} is not offered: {reason}", operation.operation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, path: &str, expect: Option<&str>) {
        let refusal = refusal(&method, &OriginalUri(path.parse().unwrap()));
        let message = refusal.map(|error| error.message);
        assert_eq!(message.is_some(), expect.is_some(), "{method} {path}: {message:?}");
        assert!(message.unwrap_or_default().starts_with(expect.unwrap_or_default()), "{method} {path}");
    }

    #[test]
    fn what_is_not_offered_says_why() {
        check(Method::POST, "/20180222/nodePools", Some("create_node_pool is not offered: nodes are virtual here"));
        check(Method::POST, "/20180222/clusters/x/nodes/y/actions/reboot?a=b", Some("reboot_cluster_node is not"));
        check(Method::GET, "/20180222/clusters/x/workloadMappings/y", Some("get_workload_mapping is not"));
        check(Method::GET, "/20180222/clusters", None);
        check(Method::PATCH, "/20180222/nodePools", None);
        check(Method::GET, "/20180222/nodePools/a/b", None);
        check(Method::GET, "/20180222", None);
    }

    #[test]
    fn all_of_ocis_operations_are_listed_once() {
        let of = |service: &str| OPERATIONS.iter().filter(|operation| operation.service == service).count();
        assert_eq!((of("container_engine"), of("container_instances")), (50, 18));
        for (number, operation) in OPERATIONS.iter().enumerate() {
            let same = |other: &Operation| other.method == operation.method && other.path == operation.path;
            let offered = !operation.service.starts_with("container_") && operation.refused.is_some();
            assert!(!offered, "of other services only what works is listed: {operation:?}");
            assert!(!OPERATIONS[..number].iter().any(same), "{operation:?}");
        }
    }
}
