//! The tenancy, its region, and the domains over which resources are spread: `/tenancies`, `/regions`,
//! `/availabilityDomains`, `/faultDomains`. Source of names and shapes: OCI Identity API 20160918.

use super::store;
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
        .routes(routes!(tenancy))
        .routes(routes!(subscriptions))
        .routes(routes!(regions))
        .routes(routes!(availability_domains))
        .routes(routes!(fault_domains))
}

/// A tenancy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tenancy)]
struct TenancyResponse {
    id: String,
    name: String,
    description: String,
    home_region_key: String,
}

/// A region.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Region)]
struct RegionResponse {
    key: String,
    name: String,
}

/// That a tenancy is in a region.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RegionSubscription)]
struct SubscriptionResponse {
    region_key: String,
    region_name: String,
    status: &'static str,
    is_home_region: bool,
}

/// A domain of hosts that fail together.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AvailabilityDomain)]
struct DomainResponse {
    id: String,
    name: String,
    compartment_id: String,
}

/// A part of an availability domain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FaultDomain)]
struct FaultDomainResponse {
    id: String,
    name: String,
    compartment_id: String,
    availability_domain: String,
}

/// A region's short name. Source of the form: OCI's have three capital letters.
fn region_key(region: &str) -> String {
    region.chars().filter(char::is_ascii_alphabetic).take(3).collect::<String>().to_ascii_uppercase()
}

/// Refuses tenancies other than the caller's.
fn own(caller: &Caller, id: &str) -> Result<(), Error> {
    let root = CompartmentId::root(&caller.principal.tenant_id);
    let fits = id == root.as_str() && caller.may(Verb::Inspect, Resource::Tenancies, &root);
    if fits { Ok(()) } else { Err(not_found("tenancy", id)) }
}

/// Gets the tenancy.
#[utoipa::path(
    get,
    path = "/tenancies/{tenancyId}",
    tag = "Identity",
    operation_id = "get_tenancy",
    params(("tenancyId" = String, Path, description = "The tenancy")),
    responses((status = 200, description = "OK", body = TenancyResponse)),
    extensions(("x-hako-access" = json!("inspect tenancies"))),
)]
async fn tenancy(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    own(&caller, &id)?;
    let found = store::tenancy(&cloud.db, &caller.principal.tenant_id).await?;
    let (name, _) = found.ok_or_else(|| not_found("tenancy", &id))?;
    let home_region_key = region_key(&cloud.config.region);
    Ok(resource(TenancyResponse { id, description: name.clone(), name, home_region_key }, None))
}

/// Lists the regions that the tenancy is in: this one.
#[utoipa::path(
    get,
    path = "/tenancies/{tenancyId}/regionSubscriptions",
    tag = "Identity",
    operation_id = "list_region_subscriptions",
    params(("tenancyId" = String, Path, description = "The tenancy")),
    responses((status = 200, description = "OK", body = Vec<SubscriptionResponse>)),
    extensions(("x-hako-access" = json!("inspect tenancies"))),
)]
async fn subscriptions(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    own(&caller, &id)?;
    let region_name = cloud.config.region.clone();
    let region_key = region_key(&region_name);
    Ok(Json([SubscriptionResponse { region_key, region_name, status: "READY", is_home_region: true }]).into_response())
}

/// Lists the regions: this one.
#[utoipa::path(
    get,
    path = "/regions",
    tag = "Identity",
    operation_id = "list_regions",
    responses((status = 200, description = "OK", body = Vec<RegionResponse>)),
    extensions(("x-hako-access" = json!("any"))),
)]
async fn regions(State(cloud): State<Arc<Cloud>>, _: Caller) -> Response {
    let name = cloud.config.region.clone();
    Json([RegionResponse { key: region_key(&name), name }]).into_response()
}

/// An id of a domain: it has no row of its own, so its name is what is unguessable enough about it.
fn domain_id(kind: &str, name: &str) -> String {
    let unique: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("ocid1.{kind}.hako.local-1.{}", unique.to_ascii_lowercase())
}

/// Lists the availability domains.
#[utoipa::path(
    get,
    path = "/availabilityDomains",
    tag = "Identity",
    operation_id = "list_availability_domains",
    params(("compartmentId" = String, Query, description = "The compartment")),
    responses((status = 200, description = "OK", body = Vec<DomainResponse>)),
    extensions(("x-hako-access" = json!("inspect compartments"))),
)]
async fn availability_domains(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    params: Params,
) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Compartments)?;
    let domain = |name: &String| DomainResponse {
        id: domain_id("availabilitydomain", name),
        name: name.clone(),
        compartment_id: compartment.as_str().to_owned(),
    };
    Ok(Json(cloud.config.availability_domains.iter().map(domain).collect::<Vec<_>>()).into_response())
}

/// Lists the fault domains of an availability domain.
#[utoipa::path(
    get,
    path = "/faultDomains",
    tag = "Identity",
    operation_id = "list_fault_domains",
    params(
        ("compartmentId" = String, Query, description = "The compartment"),
        ("availabilityDomain" = String, Query, description = "The availability domain"),
    ),
    responses((status = 200, description = "OK", body = Vec<FaultDomainResponse>)),
    extensions(("x-hako-access" = json!("inspect compartments"))),
)]
async fn fault_domains(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Compartments)?;
    let availability_domain = params.required("availabilityDomain")?;
    if !cloud.config.availability_domains.iter().any(|domain| domain == availability_domain) {
        return Err(not_found("availability domain", availability_domain));
    }
    let domain = |name: &String| FaultDomainResponse {
        id: domain_id("faultdomain", name),
        name: name.clone(),
        compartment_id: compartment.as_str().to_owned(),
        availability_domain: availability_domain.to_owned(),
    };
    Ok(Json(cloud.config.fault_domains.iter().map(domain).collect::<Vec<_>>()).into_response())
}
