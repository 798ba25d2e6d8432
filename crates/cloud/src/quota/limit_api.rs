//! `/20190729`: services, definitions and values of limits, and how much is left. Source of names and shapes: OCI Limits API.

use super::{Limit, store};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    error::not_found,
    rest::{Caller, Params, resource},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use domain::CompartmentId;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(services))
        .routes(routes!(definitions))
        .routes(routes!(values))
        .routes(routes!(availability))
}

/// A service that has limits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceSummary)]
struct ServiceResponse {
    name: &'static str,
    description: &'static str,
}

/// What is limited.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LimitDefinitionSummary)]
struct DefinitionResponse {
    name: &'static str,
    service_name: &'static str,
    description: &'static str,
    scope_type: &'static str,
    are_quotas_supported: bool,
    is_resource_availability_supported: bool,
    is_deprecated: bool,
}

/// How much the tenancy may have.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LimitValueSummary)]
struct ValueResponse {
    name: &'static str,
    scope_type: &'static str,
    value: i64,
}

/// How much is in use, and how much is left.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ResourceAvailability)]
struct AvailabilityResponse {
    used: i64,
    available: i64,
    /// The smallest quota on the way from the root to the compartment.
    effective_quota_value: Option<f64>,
}

/// The limits that a list asks for.
fn wanted<'a>(params: &'a Params) -> impl Iterator<Item = Limit> + use<'a> {
    let fits = |wanted: Option<&str>, word: &str| wanted.is_none_or(|wanted| wanted == word);
    let keep = move |limit: &Limit| {
        fits(params.get("serviceName"), limit.service()) && fits(params.get("name"), limit.as_str())
    };
    Limit::ALL.into_iter().filter(keep)
}

/// Lists the services that have limits.
#[utoipa::path(
    get,
    path = "/services",
    tag = "Limits",
    operation_id = "list_services",
    params(("compartmentId" = String, Query, description = "The tenancy")),
    responses((status = 200, description = "OK", body = Vec<ServiceResponse>)),
    extensions(("x-hako-access" = json!("inspect limits"))),
)]
async fn services(caller: Caller, params: Params) -> Result<Response, Error> {
    caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Limits)?;
    let mut services: Vec<ServiceResponse> = Limit::ALL
        .into_iter()
        .map(|limit| ServiceResponse { name: limit.service(), description: limit.service() })
        .collect();
    services.dedup_by_key(|service| service.name);
    Ok(Json(services).into_response())
}

/// Lists what is limited.
#[utoipa::path(
    get,
    path = "/limitDefinitions",
    tag = "Limits",
    operation_id = "list_limit_definitions",
    params(
        ("compartmentId" = String, Query, description = "The tenancy"),
        ("serviceName" = Option<String>, Query, description = "Only those of this service"),
        ("name" = Option<String>, Query, description = "Only that of this name"),
    ),
    responses((status = 200, description = "OK", body = Vec<DefinitionResponse>)),
    extensions(("x-hako-access" = json!("inspect limits"))),
)]
async fn definitions(caller: Caller, params: Params) -> Result<Response, Error> {
    caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Limits)?;
    let definition = |limit: Limit| DefinitionResponse {
        name: limit.as_str(),
        service_name: limit.service(),
        description: limit.description(),
        scope_type: "REGION",
        are_quotas_supported: true,
        is_resource_availability_supported: true,
        is_deprecated: false,
    };
    Ok(Json(wanted(&params).map(definition).collect::<Vec<_>>()).into_response())
}

/// Lists how much the tenancy may have of what.
#[utoipa::path(
    get,
    path = "/limitValues",
    tag = "Limits",
    operation_id = "list_limit_values",
    params(
        ("compartmentId" = String, Query, description = "The tenancy"),
        ("serviceName" = String, Query, description = "Only those of this service"),
        ("name" = Option<String>, Query, description = "Only that of this name"),
    ),
    responses((status = 200, description = "OK", body = Vec<ValueResponse>)),
    extensions(("x-hako-access" = json!("inspect limits"))),
)]
async fn values(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Limits)?;
    params.required("serviceName")?;
    let mut db = cloud.db.acquire().await?;
    let mut values = Vec::new();
    for limit in wanted(&params) {
        let value = store::limit(&mut db, &caller.principal.tenant_id, limit).await?;
        let value = value.unwrap_or(limit.default_value());
        values.push(ValueResponse { name: limit.as_str(), scope_type: "REGION", value });
    }
    Ok(Json(values).into_response())
}

/// Says how much of a limit is in use, and how much is left in a compartment.
#[utoipa::path(
    get,
    path = "/services/{serviceName}/limits/{limitName}/resourceAvailability",
    tag = "Limits",
    operation_id = "get_resource_availability",
    params(
        ("serviceName" = String, Path, description = "The service"),
        ("limitName" = String, Path, description = "The limit"),
        ("compartmentId" = String, Query, description = "The compartment"),
    ),
    responses((status = 200, description = "OK", body = AvailabilityResponse)),
    extensions(("x-hako-access" = json!("inspect limits"))),
)]
async fn availability(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path((service, name)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Limits)?;
    let limit = name.parse::<Limit>().ok().filter(|limit| limit.service() == service);
    let limit = limit.ok_or_else(|| not_found("limit", &name))?;
    let mut db = cloud.db.acquire().await?;
    let room = super::room(&mut db, &caller, &compartment, limit).await?;
    let inside = caller.grants.subtree(&compartment);
    let root = compartment == CompartmentId::root(&caller.principal.tenant_id);
    let inside = (!root).then_some(inside.as_slice());
    let used = store::used(&mut db, &caller.principal.tenant_id, limit, inside).await?;
    let available = room.iter().map(|room| room.value - room.used).min().unwrap_or_default().max(0);
    let quotas = room.iter().filter(|room| room.quota).map(|room| room.value);
    #[allow(clippy::cast_precision_loss, reason = "OCI's field is a float; quotas have 32 bits")]
    let effective_quota_value = quotas.min().map(|value| value as f64);
    Ok(resource(AvailabilityResponse { used, available, effective_quota_value }, None))
}
