//! What neither source says: whether Go holds a field by value (its zero is "not set") or by pointer (its zero counts).
//! Source: the Go types of k8s.io/api.

/// Optional numbers and booleans that Go holds by value, by JSON name; elsewhere they are pointers.
const VALUES: &[&str] = &[
    // pods
    "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "initialDelaySeconds",
    "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold", "hostPort",
    "restartCount", "ready", "exitCode", "signal", "unschedulable",
    // services, volumes
    "nodePort", "healthCheckNodePort", "publishNotReadyAddresses", "partition", "lun",
    // status counts
    "observedGeneration", "replicas", "readyReplicas", "availableReplicas", "updatedReplicas",
    "fullyLabeledReplicas", "unavailableReplicas", "currentReplicas", "numberAvailable", "numberUnavailable",
    "updatedNumberScheduled", "succeeded", "failed", "active", "minReadySeconds", "paused",
    "generation", "weight", "count", "remainingItemCount", "desiredHealthy", "expectedPods",
    "disruptionsAllowed", "currentHealthy", "globalDefault", "value", "attached", "attachRequired",
    "allowed", "denied", "authenticated", "podInfoRequired", "insecureSkipTLSVerify",
    "groupPriorityMinimum", "versionPriority", "retryAfterSeconds", "code",
    "exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "nullable",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "deprecatedCount", "namespaced",
    "incomplete", "deprecated", "preserveUnknownFields",
];

/// Fields that are pointers although their name is in `VALUES`, as `Type.field`.
const POINTERS: &[&str] = &[
    "apps.v1.DeploymentSpec.replicas", "apps.v1.ReplicaSetSpec.replicas", "apps.v1.StatefulSetSpec.replicas",
    "core.v1.ReplicationControllerSpec.replicas", "core.v1.VolumeProjection.readOnly",
    "apps.v1.RollingUpdateStatefulSetStrategy.partition", "apps.v1.StatefulSetPersistentVolumeClaim.replicas",
    "core.v1.AzureDiskVolumeSource.readOnly", "batch.v1.JobStatus.ready", "discovery.v1.EndpointConditions.ready",
    "meta.v1.ListMeta.remainingItemCount", "core.v1.ClientIPConfig.timeoutSeconds",
    "admissionregistration.v1.MutatingWebhook.timeoutSeconds",
    "admissionregistration.v1.ValidatingWebhook.timeoutSeconds", "core.v1.FCVolumeSource.lun",
    "core.v1.LocalVolumeSource.readOnly", "storage.v1.CSIDriverSpec.attachRequired",
    "storage.v1.CSIDriverSpec.podInfoOnMount",
];

/// Optional strings that are pointers: an empty one counts.
const STRING_POINTERS: &[&str] = &[
    "storageClassName", "ingressClassName", "runtimeClassName", "volumeAttributesClassName",
    "currentVolumeAttributesClassName", "targetVolumeAttributesClassName", "holderIdentity", "appProtocol",
    "gmsaCredentialSpec", "gmsaCredentialSpecName", "persistentVolumeName", "preemptionPolicy",
    "propagationPolicy", "url", "ipFamilyPolicy", "trafficDistribution", "resourceClaimName",
    "resourceClaimTemplateName", "localhostProfile", "mountPropagation", "managedBy", "timeZone", "zone",
];

/// Whether the zero of a field means that it is not set.
pub(crate) fn omits_zero(shape: &str, field: &str, kind: &str, required: bool) -> bool {
    if required {
        return false;
    }
    match kind {
        "s" => {
            shape == "core.v1.PersistentVolumeSpec" || !STRING_POINTERS.contains(&field)
        }
        "i" | "l" | "b" | "d" => {
            VALUES.contains(&field) && !POINTERS.contains(&format!("{shape}.{field}").as_str())
        }
        _ => false,
    }
}
