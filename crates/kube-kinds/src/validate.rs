//! Rules that objects must keep, with upstream's words.
//! Source: kubernetes `pkg/apis/*/validation`, apimachinery `pkg/util/validation`.

mod config;
mod container;
mod meta;
mod name;
mod network;
mod pod;
mod policy;
mod storage;
mod update;
mod workload;

use kube_schema::Kind;
use problem::kube::Cause;
use serde_json::{Value, json};

use crate::json::text;

pub use name::validate_name;

/// Problems found so far.
#[derive(Default)]
struct Causes(Vec<Cause>);

impl Causes {
    fn invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        self.0.push(Cause::invalid(field, value, detail));
    }

    fn required(&mut self, field: impl Into<String>, detail: &str) {
        self.0.push(Cause::required(field, detail));
    }

    fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.0.push(Cause::forbidden(field, detail));
    }

    fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.0.push(Cause::duplicate(field, value));
    }

    fn supported(&mut self, field: impl Into<String>, value: &Value, supported: &[&str]) {
        if value.as_str().is_none_or(|value| !supported.contains(&value)) {
            let mut sorted = supported.to_vec();
            sorted.sort_unstable();
            self.0.push(Cause::not_supported(field, value, &sorted));
        }
    }

    /// Each message about the same value.
    fn all(&mut self, field: &str, value: &Value, messages: &[String]) {
        for message in messages {
            self.invalid(field, value, message);
        }
    }

    fn not_negative(&mut self, object: &Value, pointer: &str, field: &str) {
        if let Some(value) = object.pointer(pointer).filter(|v| v.as_i64().is_some_and(|n| n < 0)) {
            self.invalid(field, value, "must be greater than or equal to 0");
        }
    }

    fn present(&mut self, object: &Value, pointer: &str, field: &str) {
        if text(object, pointer).is_empty() {
            self.required(field, "");
        }
    }
}

/// What is wrong with a new, defaulted object in its storage version; empty if nothing.
#[must_use]
pub fn validate_create(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Causes::default();
    meta::validate(kind, object, &mut causes);
    content(kind, object, &mut causes);
    causes.0
}

/// What is wrong with a change of the main resource; includes the rules of `validate_create`.
#[must_use]
pub fn validate_update(kind: &Kind, new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Causes::default();
    meta::validate(kind, new, &mut causes);
    meta::validate_update(new, old, &mut causes);
    content(kind, new, &mut causes);
    update::validate(kind, new, old, &mut causes);
    causes.0
}

/// What is wrong with a change of the status subresource.
#[must_use]
pub fn validate_status(kind: &Kind, new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Causes::default();
    meta::validate(kind, new, &mut causes);
    meta::validate_update(new, old, &mut causes);
    if let Some(status) = new.get("status").and_then(Value::as_object) {
        for (key, value) in status.iter().filter(|(key, _)| key.to_lowercase().ends_with("replicas")) {
            if value.as_i64().is_some_and(|n| n < 0) {
                causes.invalid(format!("status.{key}"), value, "must be greater than or equal to 0");
            }
        }
    }
    causes.0
}

/// What is wrong with a change of another subresource that is a view of the object itself.
#[must_use]
pub fn validate_subresource(kind: &Kind, subresource: &str, new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Causes::default();
    meta::validate(kind, new, &mut causes);
    meta::validate_update(new, old, &mut causes);
    match subresource {
        "ephemeralcontainers" => {
            content(kind, new, &mut causes);
            update::ephemeral_containers(new, old, &mut causes);
        }
        "resize" => {
            content(kind, new, &mut causes);
            update::resize(new, old, &mut causes);
        }
        _ => {}
    }
    causes.0
}

fn content(kind: &Kind, object: &Value, causes: &mut Causes) {
    match kind.resource() {
        "pods" => pod::validate(object.get("spec").unwrap_or(&json!({})), "spec", causes),
        "podtemplates" => pod::validate_template(&object["template"], "template", causes),
        "deployments.apps" => workload::deployment(object, causes),
        "replicasets.apps" => workload::replica_set(object, causes),
        "replicationcontrollers" => workload::replication_controller(object, causes),
        "statefulsets.apps" => workload::stateful_set(object, causes),
        "daemonsets.apps" => workload::daemon_set(object, causes),
        "jobs.batch" => workload::job(&object["spec"], "spec", causes),
        "cronjobs.batch" => workload::cron_job(object, causes),
        "horizontalpodautoscalers.autoscaling" => policy::autoscaler(object, causes),
        "poddisruptionbudgets.policy" => policy::budget(object, causes),
        "configmaps" => config::config_map(object, causes),
        "secrets" => config::secret(object, causes),
        "events" => config::event(object, causes),
        "leases.coordination.k8s.io" => config::lease(object, causes),
        "services" => network::service(object, causes),
        "endpoints" => network::endpoints(object, causes),
        "endpointslices.discovery.k8s.io" => network::endpoint_slice(object, causes),
        "ingresses.networking.k8s.io" => network::ingress(object, causes),
        "networkpolicies.networking.k8s.io" => network::network_policy(object, causes),
        "persistentvolumes" => storage::volume(object, causes),
        "persistentvolumeclaims" => storage::claim(&object["spec"], "spec", causes),
        "storageclasses.storage.k8s.io" => storage::class(object, causes),
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => policy::role(object, causes),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            policy::binding(object, causes);
        }
        "priorityclasses.scheduling.k8s.io" => policy::priority_class(object, causes),
        "runtimeclasses.node.k8s.io" => causes.present(object, "/handler", "handler"),
        "resourcequotas" => policy::quota(object, causes),
        "customresourcedefinitions.apiextensions.k8s.io" => policy::custom_resource_definition(object, causes),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
