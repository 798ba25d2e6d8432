//! Defaults that the API server fills in.
//! Source: kubernetes `pkg/apis/*/v1/defaults.go`.

mod network;
mod pod;
mod policy;
mod workload;

use kube_schema::Kind;
use serde_json::Value;

use crate::json::{child, child_or_new, each, fill, put};

/// Fills in what a client left out, as upstream's defaulting does. Call it on
/// creates and updates, before `prepare_*`. `object` is in its storage version. Running it twice changes nothing.
pub fn set_defaults(kind: &Kind, object: &mut Value) {
    let Value::Object(object) = object else { return };
    match kind.resource() {
        "pods" => pod::pod(object),
        "podtemplates" => pod::template(object),
        "replicationcontrollers" => workload::replication_controller(object),
        "deployments.apps" => workload::deployment(object),
        "replicasets.apps" => workload::replica_set(object),
        "statefulsets.apps" => workload::stateful_set(object),
        "daemonsets.apps" => workload::daemon_set(object),
        "jobs.batch" => workload::job(object),
        "cronjobs.batch" => workload::cron_job(object),
        "services" => network::service(object),
        "endpoints" => network::endpoints(object),
        "endpointslices.discovery.k8s.io" => network::endpoint_slice(object),
        "networkpolicies.networking.k8s.io" => network::network_policy(object),
        "ingressclasses.networking.k8s.io" => network::ingress_class(object),
        "namespaces" => policy::namespace(object),
        "nodes" => policy::node(object),
        "secrets" => policy::secret(object),
        "persistentvolumes" => {
            let spec = child_or_new(object, "spec");
            fill(spec, "persistentVolumeReclaimPolicy", "Retain");
            put(spec, "volumeMode", "Filesystem");
        }
        "persistentvolumeclaims" => put(child_or_new(object, "spec"), "volumeMode", "Filesystem"),
        "storageclasses.storage.k8s.io" => {
            put(object, "reclaimPolicy", "Delete");
            put(object, "volumeBindingMode", "Immediate");
        }
        "csidrivers.storage.k8s.io" => policy::csi_driver(object),
        "horizontalpodautoscalers.autoscaling" => policy::autoscaler(object),
        "priorityclasses.scheduling.k8s.io" => put(object, "preemptionPolicy", "PreemptLowerPriority"),
        "limitranges" => policy::limit_range(object),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            policy::binding(object);
        }
        "customresourcedefinitions.apiextensions.k8s.io" => policy::custom_resource_definition(object),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io"
        | "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            let mutating = kind.kind.starts_with("Mutating");
            each(object, "webhooks").for_each(|hook| policy::webhook(hook, mutating));
        }
        "validatingadmissionpolicies.admissionregistration.k8s.io"
        | "mutatingadmissionpolicies.admissionregistration.k8s.io" => {
            if let Some(spec) = child(object, "spec") {
                put(spec, "failurePolicy", "Fail");
                child(spec, "matchConstraints").into_iter().for_each(policy::match_resources);
            }
        }
        "flowschemas.flowcontrol.apiserver.k8s.io" => {
            fill(child_or_new(object, "spec"), "matchingPrecedence", 1000);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
