//! Container instances as callers write them. Source of names and shapes: OCI Container Instances API 20210415, and the
//! SDKs' models for the fields that tell kinds apart (`volumeType`, `healthCheckType`, `secretType`,
//! `securityContextType`). Nothing here has a `Debug`: environments and passwords are not for logs.

use super::{RestartPolicy, words::*};
use crate::tag::{DefinedTags, FreeformTags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $kind:ty,)* })*) => {$(
        #[derive(Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        $(#[$doc])*
        pub(crate) struct $name { $($(#[$attr])* pub(crate) $field: $kind,)* }
    )*};
}

wire! {
    /// `CreateContainerInstanceDetails`.
    #[schema(as = CreateContainerInstanceDetails)]
    CreateInstanceDetails {
        compartment_id: String,
        availability_domain: String,
        shape: String,
        shape_config: CreateShapeConfig,
        containers: Vec<CreateContainerDetails>,
        vnics: Vec<CreateVnicDetails>,
        display_name: Option<String>,
        fault_domain: Option<String>,
        volumes: Option<Vec<Volume>>,
        dns_config: Option<DnsConfig>,
        graceful_shutdown_timeout_in_seconds: Option<u32>,
        image_pull_secrets: Option<Vec<ImagePullSecret>>,
        container_restart_policy: Option<RestartPolicy>,
        freeform_tags: Option<FreeformTags>,
        defined_tags: Option<DefinedTags>,
    }
    /// `CreateContainerInstanceShapeConfigDetails`.
    #[schema(as = CreateContainerInstanceShapeConfigDetails)]
    CreateShapeConfig {
        ocpus: f64,
        #[serde(rename = "memoryInGBs")]
        memory_in_gbs: Option<f64>,
    }
    /// `CreateContainerDetails`.
    CreateContainerDetails {
        image_url: String,
        display_name: Option<String>,
        command: Option<Vec<String>>,
        arguments: Option<Vec<String>>,
        working_directory: Option<String>,
        environment_variables: Option<BTreeMap<String, String>>,
        volume_mounts: Option<Vec<VolumeMount>>,
        is_resource_principal_disabled: Option<bool>,
        resource_config: Option<ResourceConfig>,
        health_checks: Option<Vec<HealthCheck>>,
        security_context: Option<SecurityContext>,
        freeform_tags: Option<FreeformTags>,
        defined_tags: Option<DefinedTags>,
    }
    /// `CreateContainerVnicDetails`.
    #[schema(as = CreateContainerVnicDetails)]
    CreateVnicDetails {
        /// None: the compartment's default network. Our addition.
        subnet_id: Option<String>,
        display_name: Option<String>,
        hostname_label: Option<String>,
        is_public_ip_assigned: Option<bool>,
        skip_source_dest_check: Option<bool>,
        nsg_ids: Option<Vec<String>>,
        private_ip: Option<String>,
        freeform_tags: Option<FreeformTags>,
        defined_tags: Option<DefinedTags>,
    }
    /// A volume of any kind.
    #[schema(as = ContainerVolume)]
    Volume {
        name: String,
        volume_type: VolumeType,
        backing_store: Option<BackingStore>,
        configs: Option<Vec<ConfigFile>>,
    }
    /// One file of a CONFIGFILE volume.
    #[schema(as = ContainerConfigFile)]
    ConfigFile {
        file_name: String,
        /// Base64.
        data: String,
        path: Option<String>,
    }
    /// Where a container sees a volume.
    VolumeMount {
        mount_path: String,
        volume_name: String,
        sub_path: Option<String>,
        is_read_only: Option<bool>,
        partition: Option<i32>,
    }
    /// Limits of a container inside of its instance.
    #[schema(as = ContainerResourceConfig)]
    ResourceConfig {
        /// Logical CPUs.
        vcpus_limit: Option<f64>,
        #[serde(rename = "memoryLimitInGBs")]
        memory_limit_in_gbs: Option<f64>,
    }
    /// A health check of any kind.
    #[schema(as = CreateContainerHealthCheckDetails)]
    HealthCheck {
        health_check_type: HealthCheckType,
        port: u16,
        path: Option<String>,
        headers: Option<Vec<HttpHeader>>,
        name: Option<String>,
        initial_delay_in_seconds: Option<i32>,
        interval_in_seconds: Option<i32>,
        failure_threshold: Option<i32>,
        success_threshold: Option<i32>,
        timeout_in_seconds: Option<i32>,
        failure_action: Option<FailureAction>,
    }
    /// A header that an HTTP health check sends.
    #[schema(as = HealthCheckHttpHeader)]
    HttpHeader {
        name: String,
        value: String,
    }
    /// Who a container runs as, and what it may.
    #[schema(as = LinuxSecurityContext)]
    SecurityContext {
        security_context_type: SecurityContextType,
        run_as_user: Option<i64>,
        run_as_group: Option<i64>,
        is_non_root_user_check_enabled: Option<bool>,
        is_root_file_system_readonly: Option<bool>,
        capabilities: Option<Capabilities>,
    }
    /// Capabilities beyond, or of, the usual ones.
    #[schema(as = ContainerCapabilities)]
    Capabilities {
        add_capabilities: Option<Vec<Capability>>,
        drop_capabilities: Option<Vec<Capability>>,
    }
    /// How names are resolved.
    #[schema(as = ContainerDnsConfig)]
    DnsConfig {
        nameservers: Option<Vec<String>>,
        searches: Option<Vec<String>>,
        options: Option<Vec<String>>,
    }
    /// Credentials of a registry, of any kind.
    #[schema(as = CreateImagePullSecretDetails)]
    ImagePullSecret {
        secret_type: SecretType,
        registry_endpoint: String,
        /// Base64.
        username: Option<String>,
        /// Base64.
        password: Option<String>,
        secret_id: Option<String>,
    }
    /// `UpdateContainerInstanceDetails`; all but names and tags is our addition: what needs no restart.
    #[schema(as = UpdateContainerInstanceDetails)]
    UpdateInstanceDetails {
        display_name: Option<String>,
        freeform_tags: Option<FreeformTags>,
        defined_tags: Option<DefinedTags>,
        graceful_shutdown_timeout_in_seconds: Option<u32>,
        container_restart_policy: Option<RestartPolicy>,
        /// CONFIGFILE volumes of the instance, with all their files.
        volumes: Option<Vec<Volume>>,
        image_pull_secrets: Option<Vec<ImagePullSecret>>,
    }
    /// `UpdateContainerDetails`.
    UpdateContainerDetails {
        display_name: Option<String>,
        freeform_tags: Option<FreeformTags>,
        defined_tags: Option<DefinedTags>,
    }
    /// `ChangeContainerInstanceCompartmentDetails`.
    #[schema(as = ChangeContainerInstanceCompartmentDetails)]
    ChangeCompartmentDetails {
        compartment_id: String,
    }
}

impl CreateInstanceDetails {
    /// The restart policy. Source of the default: OCI's API.
    pub(crate) fn restart_policy(&self) -> RestartPolicy {
        self.container_restart_policy.unwrap_or(RestartPolicy::Always)
    }

    /// Seconds between SIGTERM and SIGKILL.
    pub(crate) fn grace_seconds(&self) -> u32 {
        self.graceful_shutdown_timeout_in_seconds.unwrap_or(super::DEFAULT_GRACE_SECONDS)
    }

    /// All volumes.
    pub(crate) fn volumes(&self) -> &[Volume] {
        self.volumes.as_deref().unwrap_or_default()
    }
}
