//! Clusters as they are on the wire. Source of names and shapes: OCI Container Engine API 20180222.

use super::{Cluster, ClusterType, Mark, Rotation, kubeconfig};
use crate::{
    Error, catalog,
    error::invalid,
    rest::time,
    tag::{self, DefinedTags, FreeformTags},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $kind:ty,)* })*) => {$(
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        $(#[$doc])*
        pub(crate) struct $name { $($(#[$attr])* pub(crate) $field: Option<$kind>,)* }
    )*};
}
pub(crate) use wire;

wire! {
    /// Where the cluster's endpoint is.
    EndpointConfig {
        subnet_id: String,
        nsg_ids: Vec<String>,
        is_public_ip_enabled: bool,
        security_attributes: DefinedTags,
    }
    /// Options of a cluster.
    ClusterCreateOptions {
        service_lb_subnet_ids: Vec<String>,
        ip_families: Vec<String>,
        kubernetes_network_config: KubernetesNetworkConfig,
        add_ons: AddOnOptions,
        admission_controller_options: AdmissionControllerOptions,
        persistent_volume_config: TagsConfig,
        service_lb_config: ServiceLbConfig,
        open_id_connect_token_authentication_config: OpenIdConnectConfig,
        open_id_connect_discovery: OpenIdConnectDiscovery,
    }
    /// Options that an update may change.
    UpdateClusterOptionsDetails {
        admission_controller_options: AdmissionControllerOptions,
        persistent_volume_config: TagsConfig,
        service_lb_config: ServiceLbConfig,
        open_id_connect_token_authentication_config: OpenIdConnectConfig,
        open_id_connect_discovery: OpenIdConnectDiscovery,
    }
    /// Address ranges.
    KubernetesNetworkConfig {
        pods_cidr: String,
        services_cidr: String,
    }
    /// Add-ons of old.
    AddOnOptions {
        is_kubernetes_dashboard_enabled: bool,
        is_tiller_enabled: bool,
    }
    /// Admission control of old.
    AdmissionControllerOptions {
        is_pod_security_policy_enabled: bool,
    }
    /// Tags that volumes get.
    TagsConfig {
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
    /// Tags and groups that load balancers get.
    ServiceLbConfig {
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
        backend_nsg_ids: Vec<String>,
    }
    /// An identity provider of the cluster's own.
    OpenIdConnectConfig {
        is_open_id_connect_auth_enabled: bool,
        issuer_url: String,
        client_id: String,
        username_claim: String,
        username_prefix: String,
        groups_claim: String,
        groups_prefix: String,
        required_claims: Vec<Value>,
        ca_certificate: String,
        signing_algorithms: Vec<String>,
        configuration_file: String,
    }
    /// Whether the cluster's issuer is published.
    OpenIdConnectDiscovery {
        is_open_id_connect_discovery_enabled: bool,
    }
    /// Which signed images may run.
    ImagePolicyConfig {
        is_policy_enabled: bool,
        key_details: Vec<Value>,
    }
    /// What an update may change.
    UpdateClusterDetails {
        name: String,
        kubernetes_version: String,
        options: UpdateClusterOptionsDetails,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
        image_policy_config: ImagePolicyConfig,
        #[serde(rename = "type")]
        kind: ClusterType,
    }
    /// What a kubeconfig should be for. `expiration` is of token version 1 and means nothing any more.
    CreateKubeconfigDetails {
        token_version: String,
        expiration: i64,
        endpoint: kubeconfig::Endpoint,
        /// Our addition: the command that makes tokens. OCI's own if it is left out.
        token_command: kubeconfig::TokenCommand,
    }
}

/// What a new cluster should be. `vcnId` and `kubernetesVersion` may be left out: our addition.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateClusterDetails {
    pub(crate) name: String,
    pub(crate) compartment_id: String,
    pub(crate) vcn_id: Option<String>,
    pub(crate) kubernetes_version: Option<String>,
    pub(crate) endpoint_config: Option<EndpointConfig>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) freeform_tags: Option<FreeformTags>,
    pub(crate) defined_tags: Option<DefinedTags>,
    pub(crate) options: Option<ClusterCreateOptions>,
    pub(crate) image_policy_config: Option<ImagePolicyConfig>,
    pub(crate) cluster_pod_network_options: Option<Vec<Value>>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<ClusterType>,
}

/// When old credentials shall end.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartCredentialRotationDetails {
    /// A duration of ISO 8601 of up to 14 days, as `P5D`.
    pub(crate) auto_completion_delay_duration: String,
}

/// How far a rotation is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialRotationStatus {
    status: &'static str,
    status_details: &'static str,
    time_auto_completion_scheduled: Option<String>,
}

impl From<&Cluster> for CredentialRotationStatus {
    fn from(cluster: &Cluster) -> Self {
        let (status, status_details) = match cluster.rotation {
            Rotation::Completed => ("COMPLETED", "COMPLETED"),
            Rotation::Issuing => ("IN_PROGRESS", "ISSUING_NEW_CREDENTIALS"),
            Rotation::Waiting => ("WAITING", "NEW_CREDENTIALS_ISSUED"),
            Rotation::Retiring => ("IN_PROGRESS", "RETIRING_OLD_CREDENTIALS"),
        };
        Self { status, status_details, time_auto_completion_scheduled: cluster.rotation_due_ms.map(time) }
    }
}

/// What is kept of a cluster as its caller gave it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    pub(crate) endpoint_config: Option<EndpointConfig>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) freeform_tags: FreeformTags,
    pub(crate) defined_tags: DefinedTags,
    pub(crate) options: ClusterCreateOptions,
    pub(crate) image_policy_config: Option<ImagePolicyConfig>,
    pub(crate) cluster_pod_network_options: Option<Vec<Value>>,
}

impl Spec {
    /// Refuses what is too large or not offered.
    pub(crate) fn check(&self) -> Result<(), Error> {
        tag::check(&self.freeform_tags, &self.defined_tags)?;
        for family in self.options.ip_families.iter().flatten() {
            if family != "IPv4" {
                return Err(invalid(format!("options.ipFamilies: {family:?} is not offered; use IPv4")));
            }
        }
        for option in self.cluster_pod_network_options.iter().flatten() {
            let cni = option.get("cniType").and_then(Value::as_str).unwrap_or_default();
            if !["OCI_VCN_IP_NATIVE", "FLANNEL_OVERLAY"].contains(&cni) {
                return Err(invalid("clusterPodNetworkOptions: cniType must be OCI_VCN_IP_NATIVE or FLANNEL_OVERLAY"));
            }
        }
        Ok(())
    }
}

impl ClusterCreateOptions {
    /// Takes over what an update names.
    pub(crate) fn update(&mut self, change: UpdateClusterOptionsDetails) {
        fn take<T>(into: &mut Option<T>, from: Option<T>) {
            if from.is_some() {
                *into = from;
            }
        }
        take(&mut self.admission_controller_options, change.admission_controller_options);
        take(&mut self.persistent_volume_config, change.persistent_volume_config);
        take(&mut self.service_lb_config, change.service_lb_config);
        take(&mut self.open_id_connect_token_authentication_config, change.open_id_connect_token_authentication_config);
        take(&mut self.open_id_connect_discovery, change.open_id_connect_discovery);
    }
}

/// A cluster as get and list show it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub(crate) struct ClusterResponse {
    #[schema(value_type = String)]
    id: domain::ClusterId,
    name: String,
    #[schema(value_type = String)]
    compartment_id: domain::CompartmentId,
    endpoint_config: Option<EndpointConfig>,
    vcn_id: String,
    kubernetes_version: String,
    kms_key_id: Option<String>,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
    system_tags: DefinedTags,
    options: ClusterCreateOptions,
    metadata: Metadata,
    lifecycle_state: &'static str,
    lifecycle_details: Option<String>,
    /// Our addition.
    is_paused: bool,
    endpoints: Endpoints,
    available_kubernetes_upgrades: Vec<&'static str>,
    image_policy_config: Option<ImagePolicyConfig>,
    cluster_pod_network_options: Vec<Value>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterMetadata)]
struct Metadata {
    time_created: String,
    created_by_user_id: String,
    created_by_work_request_id: String,
    time_updated: Option<String>,
    updated_by_user_id: Option<String>,
    updated_by_work_request_id: Option<String>,
    time_deleted: Option<String>,
    deleted_by_user_id: Option<String>,
    deleted_by_work_request_id: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterEndpoints)]
struct Endpoints {
    kubernetes: String,
    public_endpoint: String,
}

impl ClusterResponse {
    /// `gateway`: the public URL, without a slash at its end.
    pub(crate) fn new(cluster: Cluster, gateway: &str) -> Self {
        let endpoint = format!("{gateway}/clusters/{}", cluster.id);
        let mut options = cluster.spec.options;
        options.kubernetes_network_config = Some(KubernetesNetworkConfig {
            pods_cidr: Some(cluster.pods_cidr.to_string()),
            services_cidr: Some(cluster.services_cidr.to_string()),
        });
        Self {
            available_kubernetes_upgrades: catalog::upgrades(&cluster.kubernetes_version),
            id: cluster.id,
            name: cluster.name,
            compartment_id: cluster.compartment_id,
            endpoint_config: cluster.spec.endpoint_config,
            vcn_id: cluster.vcn_id,
            kubernetes_version: cluster.kubernetes_version,
            kms_key_id: cluster.spec.kms_key_id,
            freeform_tags: cluster.spec.freeform_tags,
            defined_tags: cluster.spec.defined_tags,
            system_tags: DefinedTags::new(),
            options,
            metadata: Metadata::new(cluster.created, cluster.updated, cluster.deleted),
            lifecycle_state: cluster.state.as_str(),
            lifecycle_details: cluster.details,
            is_paused: cluster.is_paused,
            endpoints: Endpoints { kubernetes: endpoint.clone(), public_endpoint: endpoint },
            image_policy_config: cluster.spec.image_policy_config,
            cluster_pod_network_options: cluster
                .spec
                .cluster_pod_network_options
                .unwrap_or_else(|| vec![serde_json::json!({"cniType": "OCI_VCN_IP_NATIVE"})]),
            kind: cluster.kind.as_str(),
        }
    }
}

impl Metadata {
    fn new(created: Mark, updated: Option<Mark>, deleted: Option<Mark>) -> Self {
        let split = |mark: Option<Mark>| match mark {
            Some(mark) => (Some(time(mark.at_ms)), Some(mark.by), Some(mark.work_request)),
            None => (None, None, None),
        };
        let (updated, deleted) = (split(updated), split(deleted));
        Self {
            time_created: time(created.at_ms),
            created_by_user_id: created.by,
            created_by_work_request_id: created.work_request,
            time_updated: updated.0,
            updated_by_user_id: updated.1,
            updated_by_work_request_id: updated.2,
            time_deleted: deleted.0,
            deleted_by_user_id: deleted.1,
            deleted_by_work_request_id: deleted.2,
        }
    }
}
