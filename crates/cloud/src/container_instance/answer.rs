//! Container instances as they are answered: nothing of passwords.

use super::{
    Container, Instance,
    shape::ShapeConfigResponse,
    view::CheckSeen,
    wire::*,
    words::{FailureAction, HealthCheckType, HealthStatus, RestartPolicy, SecretType},
};
use crate::{
    Error,
    rest::time,
    tag::{DefinedTags, FreeformTags},
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An instance as lists show it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerInstanceSummary)]
pub(super) struct SummaryResponse {
    id: String,
    display_name: String,
    compartment_id: String,
    availability_domain: String,
    fault_domain: Option<String>,
    lifecycle_state: &'static str,
    lifecycle_details: Option<String>,
    time_created: String,
    time_updated: Option<String>,
    shape: String,
    shape_config: ShapeConfigResponse,
    container_count: usize,
    volume_count: usize,
    container_restart_policy: RestartPolicy,
    graceful_shutdown_timeout_in_seconds: u32,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

/// An instance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerInstance)]
pub(super) struct InstanceResponse {
    #[serde(flatten)]
    summary: SummaryResponse,
    containers: Vec<InstanceContainer>,
    volumes: Vec<Volume>,
    vnics: Vec<Vnic>,
    dns_config: Option<DnsConfig>,
    image_pull_secrets: Vec<PullSecret>,
}

/// A container, by its name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerInstanceContainer)]
struct InstanceContainer {
    container_id: String,
    display_name: String,
}

/// An instance's place in its network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerVnic)]
struct Vnic {
    vnic_id: String,
    /// Our addition: what was asked for.
    subnet_id: Option<String>,
    /// Our addition: the address of the latest run.
    private_ip: Option<String>,
}

/// A registry, without what opens it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImagePullSecret)]
struct PullSecret {
    secret_type: SecretType,
    registry_endpoint: String,
}

impl SummaryResponse {
    /// An instance as lists show it.
    pub(super) fn new(instance: &Instance) -> Result<Self, Error> {
        let spec = &instance.spec;
        Ok(Self {
            id: instance.id.to_string(),
            display_name: instance.display_name.clone(),
            compartment_id: instance.compartment_id.to_string(),
            availability_domain: spec.availability_domain.clone(),
            fault_domain: spec.fault_domain.clone(),
            lifecycle_state: instance.state.as_str(),
            lifecycle_details: instance.details.clone(),
            time_created: time(instance.created_ms),
            time_updated: instance.updated_ms.map(time),
            shape: spec.shape.clone(),
            shape_config: instance.shape()?.config(instance.size),
            container_count: spec.containers.len(),
            volume_count: spec.volumes().len(),
            container_restart_policy: spec.restart_policy(),
            graceful_shutdown_timeout_in_seconds: spec.grace_seconds(),
            freeform_tags: spec.freeform_tags.clone().unwrap_or_default(),
            defined_tags: spec.defined_tags.clone().unwrap_or_default(),
        })
    }
}

impl InstanceResponse {
    /// An instance with its containers.
    pub(super) fn new(instance: &Instance, containers: &[Container]) -> Result<Self, Error> {
        let spec = &instance.spec;
        let container = |container: &Container| InstanceContainer {
            container_id: container.id.to_string(),
            display_name: container.display_name.clone(),
        };
        let vnic = |vnic: &CreateVnicDetails| Vnic {
            vnic_id: instance.vnic_id.to_string(),
            subnet_id: vnic.subnet_id.clone(),
            private_ip: instance.private_ip.clone(),
        };
        let secrets = spec.image_pull_secrets.iter().flatten();
        Ok(Self {
            summary: SummaryResponse::new(instance)?,
            containers: containers.iter().map(container).collect(),
            volumes: spec.volumes().to_vec(),
            vnics: spec.vnics.iter().map(vnic).collect(),
            dns_config: spec.dns_config.clone(),
            image_pull_secrets: secrets
                .map(|secret| PullSecret {
                    secret_type: secret.secret_type,
                    registry_endpoint: secret.registry_endpoint.clone(),
                })
                .collect(),
        })
    }
}

/// A container as lists show it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerSummary)]
pub(super) struct ContainerSummaryResponse {
    id: String,
    display_name: String,
    compartment_id: String,
    availability_domain: String,
    fault_domain: Option<String>,
    lifecycle_state: &'static str,
    lifecycle_details: Option<String>,
    time_created: String,
    time_updated: Option<String>,
    container_instance_id: String,
    image_url: String,
    resource_config: Option<ResourceConfig>,
    is_resource_principal_disabled: bool,
    security_context: Option<SecurityContext>,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

/// A container.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Container)]
pub(super) struct ContainerResponse {
    #[serde(flatten)]
    summary: ContainerSummaryResponse,
    exit_code: Option<i32>,
    time_terminated: Option<String>,
    command: Option<Vec<String>>,
    arguments: Option<Vec<String>>,
    working_directory: Option<String>,
    environment_variables: Option<BTreeMap<String, String>>,
    volume_mounts: Option<Vec<VolumeMount>>,
    health_checks: Option<Vec<HealthCheckResponse>>,
    container_restart_attempt_count: i32,
}

/// A health check and how it stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ContainerHealthCheck)]
struct HealthCheckResponse {
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
    failure_action: FailureAction,
    status: HealthStatus,
    status_details: Option<String>,
}

impl ContainerSummaryResponse {
    /// A container as lists show it; `None` if the instance has no such container.
    pub(super) fn new(instance: &Instance, container: &Container) -> Option<Self> {
        let spec = instance.spec.containers.get(container.number)?;
        Some(Self {
            id: container.id.to_string(),
            display_name: container.display_name.clone(),
            compartment_id: instance.compartment_id.to_string(),
            availability_domain: instance.spec.availability_domain.clone(),
            fault_domain: instance.spec.fault_domain.clone(),
            lifecycle_state: container.seen.state.as_str(),
            lifecycle_details: container.seen.details.clone(),
            time_created: time(container.created_ms),
            time_updated: container.updated_ms.map(time),
            container_instance_id: instance.id.to_string(),
            image_url: spec.image_url.clone(),
            resource_config: spec.resource_config.clone(),
            // Nobody gives containers an identity here.
            is_resource_principal_disabled: true,
            security_context: spec.security_context.clone(),
            freeform_tags: container.tags.freeform.clone(),
            defined_tags: container.tags.defined.clone(),
        })
    }
}

impl ContainerResponse {
    /// A container; `None` if the instance has no such container.
    pub(super) fn new(instance: &Instance, container: &Container) -> Option<Self> {
        let spec = instance.spec.containers.get(container.number)?;
        let checks = spec.health_checks.as_ref();
        let checks = checks.map(|checks| {
            let seen = &container.seen.checks;
            checks.iter().enumerate().map(|(number, check)| HealthCheckResponse::new(check, seen.get(number))).collect()
        });
        Some(Self {
            summary: ContainerSummaryResponse::new(instance, container)?,
            exit_code: container.seen.exit_code,
            time_terminated: container.seen.terminated_ms.map(time),
            command: spec.command.clone(),
            arguments: spec.arguments.clone(),
            working_directory: spec.working_directory.clone(),
            environment_variables: spec.environment_variables.clone(),
            volume_mounts: spec.volume_mounts.clone(),
            health_checks: checks,
            container_restart_attempt_count: container.seen.restarts,
        })
    }
}

impl HealthCheckResponse {
    fn new(check: &HealthCheck, seen: Option<&CheckSeen>) -> Self {
        let check = check.clone();
        Self {
            health_check_type: check.health_check_type,
            port: check.port,
            path: check.path,
            headers: check.headers,
            name: check.name,
            initial_delay_in_seconds: check.initial_delay_in_seconds,
            interval_in_seconds: check.interval_in_seconds,
            failure_threshold: check.failure_threshold,
            success_threshold: check.success_threshold,
            timeout_in_seconds: check.timeout_in_seconds,
            failure_action: check.failure_action.unwrap_or(FailureAction::Kill),
            status: seen.map_or(HealthStatus::Unknown, |seen| seen.status),
            status_details: seen.and_then(|seen| seen.details.clone()),
        }
    }
}
