//! The table itself, one row per kind and version.

use super::Kind;

const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const NO_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const READ: &[&str] = &["get", "list"];

macro_rules! kinds {
    ($($group:literal $version:literal $resource:literal $kind:literal $plural:literal $singular:literal $namespaced:literal $storage:literal
       [$($short:literal)*] [$($category:literal)*] [$($sub:literal)*] $verbs:ident $(since $since:literal)?;)*) => {
        &[$(Kind {
            group: $group, version: $version, kind: $kind, plural: $plural, singular: $singular, resource: $resource,
            short: &[$($short),*], categories: &[$($category),*], subresources: &[$($sub),*], verbs: $verbs,
            namespaced: $namespaced, storage_version: $storage, since: 0 $(+ $since)?,
        }),*]
    };
}

// group version storage kind plural singular namespaced stored-here [short] [categories] [subresources] verbs
// and, if the oldest release offered does not have it yet, the minor release that it came with
#[rustfmt::skip]
pub(super) const KINDS: &[Kind] = kinds! {
    "" "v1" "bindings" "Binding" "bindings" "binding" true true [] [] [] CREATE;
    "" "v1" "componentstatuses" "ComponentStatus" "componentstatuses" "componentstatus" false true ["cs"] [] [] READ;
    "" "v1" "configmaps" "ConfigMap" "configmaps" "configmap" true true ["cm"] [] [] ALL;
    "" "v1" "endpoints" "Endpoints" "endpoints" "endpoints" true true ["ep"] [] [] ALL;
    "" "v1" "events" "Event" "events" "event" true true ["ev"] [] [] ALL;
    "" "v1" "limitranges" "LimitRange" "limitranges" "limitrange" true true ["limits"] [] [] ALL;
    "" "v1" "namespaces" "Namespace" "namespaces" "namespace" false true ["ns"] [] ["finalize" "status"] NO_COLLECTION;
    "" "v1" "nodes" "Node" "nodes" "node" false true ["no"] [] ["proxy" "status"] ALL;
    "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim" "persistentvolumeclaims" "persistentvolumeclaim" true true ["pvc"] [] ["status"] ALL;
    "" "v1" "persistentvolumes" "PersistentVolume" "persistentvolumes" "persistentvolume" false true ["pv"] [] ["status"] ALL;
    "" "v1" "pods" "Pod" "pods" "pod" true true ["po"] ["all"] ["attach" "binding" "ephemeralcontainers" "eviction" "exec" "log" "portforward" "proxy" "resize" "status"] ALL;
    "" "v1" "podtemplates" "PodTemplate" "podtemplates" "podtemplate" true true [] [] [] ALL;
    "" "v1" "replicationcontrollers" "ReplicationController" "replicationcontrollers" "replicationcontroller" true true ["rc"] ["all"] ["scale" "status"] ALL;
    "" "v1" "resourcequotas" "ResourceQuota" "resourcequotas" "resourcequota" true true ["quota"] [] ["status"] ALL;
    "" "v1" "secrets" "Secret" "secrets" "secret" true true [] [] [] ALL;
    "" "v1" "serviceaccounts" "ServiceAccount" "serviceaccounts" "serviceaccount" true true ["sa"] [] ["token"] ALL;
    "" "v1" "services" "Service" "services" "service" true true ["svc"] ["all"] ["proxy" "status"] ALL;
    "apiregistration.k8s.io" "v1" "apiservices.apiregistration.k8s.io" "APIService" "apiservices" "apiservice" false true [] ["api-extensions"] ["status"] ALL;
    "apps" "v1" "controllerrevisions.apps" "ControllerRevision" "controllerrevisions" "controllerrevision" true true [] [] [] ALL;
    "apps" "v1" "daemonsets.apps" "DaemonSet" "daemonsets" "daemonset" true true ["ds"] ["all"] ["status"] ALL;
    "apps" "v1" "deployments.apps" "Deployment" "deployments" "deployment" true true ["deploy"] ["all"] ["scale" "status"] ALL;
    "apps" "v1" "replicasets.apps" "ReplicaSet" "replicasets" "replicaset" true true ["rs"] ["all"] ["scale" "status"] ALL;
    "apps" "v1" "statefulsets.apps" "StatefulSet" "statefulsets" "statefulset" true true ["sts"] ["all"] ["scale" "status"] ALL;
    "events.k8s.io" "v1" "events" "Event" "events" "event" true false ["ev"] [] [] ALL;
    "authentication.k8s.io" "v1" "selfsubjectreviews.authentication.k8s.io" "SelfSubjectReview" "selfsubjectreviews" "selfsubjectreview" false true [] [] [] CREATE;
    "authentication.k8s.io" "v1" "tokenreviews.authentication.k8s.io" "TokenReview" "tokenreviews" "tokenreview" false true [] [] [] CREATE;
    "authorization.k8s.io" "v1" "localsubjectaccessreviews.authorization.k8s.io" "LocalSubjectAccessReview" "localsubjectaccessreviews" "localsubjectaccessreview" true true [] [] [] CREATE;
    "authorization.k8s.io" "v1" "selfsubjectaccessreviews.authorization.k8s.io" "SelfSubjectAccessReview" "selfsubjectaccessreviews" "selfsubjectaccessreview" false true [] [] [] CREATE;
    "authorization.k8s.io" "v1" "selfsubjectrulesreviews.authorization.k8s.io" "SelfSubjectRulesReview" "selfsubjectrulesreviews" "selfsubjectrulesreview" false true [] [] [] CREATE;
    "authorization.k8s.io" "v1" "subjectaccessreviews.authorization.k8s.io" "SubjectAccessReview" "subjectaccessreviews" "subjectaccessreview" false true [] [] [] CREATE;
    "autoscaling" "v2" "horizontalpodautoscalers.autoscaling" "HorizontalPodAutoscaler" "horizontalpodautoscalers" "horizontalpodautoscaler" true true ["hpa"] ["all"] ["status"] ALL;
    "autoscaling" "v1" "horizontalpodautoscalers.autoscaling" "HorizontalPodAutoscaler" "horizontalpodautoscalers" "horizontalpodautoscaler" true false ["hpa"] ["all"] ["status"] ALL;
    "batch" "v1" "cronjobs.batch" "CronJob" "cronjobs" "cronjob" true true ["cj"] ["all"] ["status"] ALL;
    "batch" "v1" "jobs.batch" "Job" "jobs" "job" true true [] ["all"] ["status"] ALL;
    "certificates.k8s.io" "v1" "certificatesigningrequests.certificates.k8s.io" "CertificateSigningRequest" "certificatesigningrequests" "certificatesigningrequest" false true ["csr"] [] ["approval" "status"] ALL;
    "certificates.k8s.io" "v1beta1" "clustertrustbundles.certificates.k8s.io" "ClusterTrustBundle" "clustertrustbundles" "clustertrustbundle" false true [] [] [] ALL;
    "certificates.k8s.io" "v1beta1" "podcertificaterequests.certificates.k8s.io" "PodCertificateRequest" "podcertificaterequests" "podcertificaterequest" true true [] [] ["status"] ALL since 35;
    "certificates.k8s.io" "v1alpha1" "clustertrustbundles.certificates.k8s.io" "ClusterTrustBundle" "clustertrustbundles" "clustertrustbundle" false false [] [] [] ALL;
    "networking.k8s.io" "v1" "ingressclasses.networking.k8s.io" "IngressClass" "ingressclasses" "ingressclass" false true [] [] [] ALL;
    "networking.k8s.io" "v1" "ingresses.networking.k8s.io" "Ingress" "ingresses" "ingress" true true ["ing"] [] ["status"] ALL;
    "networking.k8s.io" "v1" "ipaddresses.networking.k8s.io" "IPAddress" "ipaddresses" "ipaddress" false true ["ip"] [] [] ALL;
    "networking.k8s.io" "v1" "networkpolicies.networking.k8s.io" "NetworkPolicy" "networkpolicies" "networkpolicy" true true ["netpol"] [] [] ALL;
    "networking.k8s.io" "v1" "servicecidrs.networking.k8s.io" "ServiceCIDR" "servicecidrs" "servicecidr" false true [] [] ["status"] ALL;
    "networking.k8s.io" "v1beta1" "ipaddresses.networking.k8s.io" "IPAddress" "ipaddresses" "ipaddress" false false ["ip"] [] [] ALL;
    "networking.k8s.io" "v1beta1" "servicecidrs.networking.k8s.io" "ServiceCIDR" "servicecidrs" "servicecidr" false false [] [] ["status"] ALL;
    "policy" "v1" "poddisruptionbudgets.policy" "PodDisruptionBudget" "poddisruptionbudgets" "poddisruptionbudget" true true ["pdb"] [] ["status"] ALL;
    "rbac.authorization.k8s.io" "v1" "clusterrolebindings.rbac.authorization.k8s.io" "ClusterRoleBinding" "clusterrolebindings" "clusterrolebinding" false true [] [] [] ALL;
    "rbac.authorization.k8s.io" "v1" "clusterroles.rbac.authorization.k8s.io" "ClusterRole" "clusterroles" "clusterrole" false true [] [] [] ALL;
    "rbac.authorization.k8s.io" "v1" "rolebindings.rbac.authorization.k8s.io" "RoleBinding" "rolebindings" "rolebinding" true true [] [] [] ALL;
    "rbac.authorization.k8s.io" "v1" "roles.rbac.authorization.k8s.io" "Role" "roles" "role" true true [] [] [] ALL;
    "storage.k8s.io" "v1" "csidrivers.storage.k8s.io" "CSIDriver" "csidrivers" "csidriver" false true [] [] [] ALL;
    "storage.k8s.io" "v1" "csinodes.storage.k8s.io" "CSINode" "csinodes" "csinode" false true [] [] [] ALL;
    "storage.k8s.io" "v1" "csistoragecapacities.storage.k8s.io" "CSIStorageCapacity" "csistoragecapacities" "csistoragecapacity" true true [] [] [] ALL;
    "storage.k8s.io" "v1" "storageclasses.storage.k8s.io" "StorageClass" "storageclasses" "storageclass" false true ["sc"] [] [] ALL;
    "storage.k8s.io" "v1" "volumeattachments.storage.k8s.io" "VolumeAttachment" "volumeattachments" "volumeattachment" false true [] [] ["status"] ALL;
    "storage.k8s.io" "v1" "volumeattributesclasses.storage.k8s.io" "VolumeAttributesClass" "volumeattributesclasses" "volumeattributesclass" false true ["vac"] [] [] ALL;
    "storage.k8s.io" "v1beta1" "volumeattributesclasses.storage.k8s.io" "VolumeAttributesClass" "volumeattributesclasses" "volumeattributesclass" false false ["vac"] [] [] ALL;
    "admissionregistration.k8s.io" "v1" "mutatingadmissionpolicies.admissionregistration.k8s.io" "MutatingAdmissionPolicy" "mutatingadmissionpolicies" "mutatingadmissionpolicy" false true [] ["api-extensions"] [] ALL since 36;
    "admissionregistration.k8s.io" "v1" "mutatingadmissionpolicybindings.admissionregistration.k8s.io" "MutatingAdmissionPolicyBinding" "mutatingadmissionpolicybindings" "mutatingadmissionpolicybinding" false true [] ["api-extensions"] [] ALL since 36;
    "admissionregistration.k8s.io" "v1" "mutatingwebhookconfigurations.admissionregistration.k8s.io" "MutatingWebhookConfiguration" "mutatingwebhookconfigurations" "mutatingwebhookconfiguration" false true [] ["api-extensions"] [] ALL;
    "admissionregistration.k8s.io" "v1" "validatingadmissionpolicies.admissionregistration.k8s.io" "ValidatingAdmissionPolicy" "validatingadmissionpolicies" "validatingadmissionpolicy" false true [] ["api-extensions"] ["status"] ALL;
    "admissionregistration.k8s.io" "v1" "validatingadmissionpolicybindings.admissionregistration.k8s.io" "ValidatingAdmissionPolicyBinding" "validatingadmissionpolicybindings" "validatingadmissionpolicybinding" false true [] ["api-extensions"] [] ALL;
    "admissionregistration.k8s.io" "v1" "validatingwebhookconfigurations.admissionregistration.k8s.io" "ValidatingWebhookConfiguration" "validatingwebhookconfigurations" "validatingwebhookconfiguration" false true [] ["api-extensions"] [] ALL;
    "admissionregistration.k8s.io" "v1beta1" "mutatingadmissionpolicies.admissionregistration.k8s.io" "MutatingAdmissionPolicy" "mutatingadmissionpolicies" "mutatingadmissionpolicy" false false [] ["api-extensions"] [] ALL;
    "admissionregistration.k8s.io" "v1beta1" "mutatingadmissionpolicybindings.admissionregistration.k8s.io" "MutatingAdmissionPolicyBinding" "mutatingadmissionpolicybindings" "mutatingadmissionpolicybinding" false false [] ["api-extensions"] [] ALL;
    "admissionregistration.k8s.io" "v1alpha1" "mutatingadmissionpolicies.admissionregistration.k8s.io" "MutatingAdmissionPolicy" "mutatingadmissionpolicies" "mutatingadmissionpolicy" false false [] ["api-extensions"] [] ALL;
    "admissionregistration.k8s.io" "v1alpha1" "mutatingadmissionpolicybindings.admissionregistration.k8s.io" "MutatingAdmissionPolicyBinding" "mutatingadmissionpolicybindings" "mutatingadmissionpolicybinding" false false [] ["api-extensions"] [] ALL;
    "apiextensions.k8s.io" "v1" "customresourcedefinitions.apiextensions.k8s.io" "CustomResourceDefinition" "customresourcedefinitions" "customresourcedefinition" false true ["crd" "crds"] ["api-extensions"] ["status"] ALL;
    "scheduling.k8s.io" "v1" "priorityclasses.scheduling.k8s.io" "PriorityClass" "priorityclasses" "priorityclass" false true ["pc"] [] [] ALL;
    "scheduling.k8s.io" "v1alpha2" "podgroups.scheduling.k8s.io" "PodGroup" "podgroups" "podgroup" true true [] [] ["status"] ALL since 36;
    "scheduling.k8s.io" "v1alpha2" "workloads.scheduling.k8s.io" "Workload" "workloads" "workload" true true [] [] [] ALL since 36;
    "coordination.k8s.io" "v1" "leases.coordination.k8s.io" "Lease" "leases" "lease" true true [] [] [] ALL;
    "coordination.k8s.io" "v1beta1" "leasecandidates.coordination.k8s.io" "LeaseCandidate" "leasecandidates" "leasecandidate" true true [] [] [] ALL;
    "coordination.k8s.io" "v1alpha2" "leasecandidates.coordination.k8s.io" "LeaseCandidate" "leasecandidates" "leasecandidate" true false [] [] [] ALL;
    "node.k8s.io" "v1" "runtimeclasses.node.k8s.io" "RuntimeClass" "runtimeclasses" "runtimeclass" false true [] [] [] ALL;
    "discovery.k8s.io" "v1" "endpointslices.discovery.k8s.io" "EndpointSlice" "endpointslices" "endpointslice" true true [] [] [] ALL;
    "flowcontrol.apiserver.k8s.io" "v1" "flowschemas.flowcontrol.apiserver.k8s.io" "FlowSchema" "flowschemas" "flowschema" false true [] [] ["status"] ALL;
    "flowcontrol.apiserver.k8s.io" "v1" "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" "PriorityLevelConfiguration" "prioritylevelconfigurations" "prioritylevelconfiguration" false true [] [] ["status"] ALL;
    "internal.apiserver.k8s.io" "v1alpha1" "storageversions.internal.apiserver.k8s.io" "StorageVersion" "storageversions" "storageversion" false true [] [] ["status"] ALL;
    "resource.k8s.io" "v1" "deviceclasses.resource.k8s.io" "DeviceClass" "deviceclasses" "deviceclass" false true [] [] [] ALL;
    "resource.k8s.io" "v1" "resourceclaims.resource.k8s.io" "ResourceClaim" "resourceclaims" "resourceclaim" true true [] [] ["status"] ALL;
    "resource.k8s.io" "v1" "resourceclaimtemplates.resource.k8s.io" "ResourceClaimTemplate" "resourceclaimtemplates" "resourceclaimtemplate" true true [] [] [] ALL;
    "resource.k8s.io" "v1" "resourceslices.resource.k8s.io" "ResourceSlice" "resourceslices" "resourceslice" false true [] [] [] ALL;
    "resource.k8s.io" "v1beta2" "deviceclasses.resource.k8s.io" "DeviceClass" "deviceclasses" "deviceclass" false false [] [] [] ALL;
    "resource.k8s.io" "v1beta2" "devicetaintrules.resource.k8s.io" "DeviceTaintRule" "devicetaintrules" "devicetaintrule" false true [] [] ["status"] ALL since 36;
    "resource.k8s.io" "v1beta2" "resourceclaims.resource.k8s.io" "ResourceClaim" "resourceclaims" "resourceclaim" true false [] [] ["status"] ALL;
    "resource.k8s.io" "v1beta2" "resourceclaimtemplates.resource.k8s.io" "ResourceClaimTemplate" "resourceclaimtemplates" "resourceclaimtemplate" true false [] [] [] ALL;
    "resource.k8s.io" "v1beta2" "resourceslices.resource.k8s.io" "ResourceSlice" "resourceslices" "resourceslice" false false [] [] [] ALL;
    "resource.k8s.io" "v1alpha3" "devicetaintrules.resource.k8s.io" "DeviceTaintRule" "devicetaintrules" "devicetaintrule" false false [] [] ["status"] ALL;
    "resource.k8s.io" "v1alpha3" "resourcepoolstatusrequests.resource.k8s.io" "ResourcePoolStatusRequest" "resourcepoolstatusrequests" "resourcepoolstatusrequest" false true [] [] ["status"] ALL since 36;
    "storagemigration.k8s.io" "v1beta1" "storageversionmigrations.storagemigration.k8s.io" "StorageVersionMigration" "storageversionmigrations" "storageversionmigration" false true ["svm"] [] ["status"] ALL since 35;
};
