//! `/containerInstances` and `/containerInstanceShapes`.

mod containers;

use super::{
    Instance, InstanceState,
    answer::{InstanceResponse, SummaryResponse},
    operation, shape, store,
    wire::{ChangeCompartmentDetails, CreateInstanceDetails, UpdateInstanceDetails},
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    openapi::PageParams,
    rest::{Caller, Params, Sort, SortKey, WORK_REQUEST, accepted, resource},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Source: `sortBy` of the lists of Container Instances.
const SORTS: &[Sort] =
    &[Sort { word: "timeCreated", column: "created_ms" }, Sort { word: "displayName", column: "display_name" }];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, remove))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(restart))
        .routes(routes!(change_compartment))
        .routes(routes!(shapes))
        .merge(containers::routes())
}

/// Newest first, or by name. Source: OCI's default orders.
fn descending(params: &Params) -> bool {
    params.get("sortBy") != Some("displayName")
}

/// Which rows a list shows.
fn filter(params: &Params) -> Result<store::Filter, Error> {
    let text = |name: &str| params.get(name).map(str::to_owned);
    Ok(store::Filter {
        instance_id: text("containerInstanceId"),
        display_name: text("displayName"),
        availability_domain: text("availabilityDomain"),
        states: params.words("lifecycleState")?,
    })
}

/// Makes a container instance and starts its containers.
#[utoipa::path(
    post,
    path = "/containerInstances",
    tag = "Container instances",
    operation_id = "create_container_instance",
    request_body = CreateInstanceDetails,
    responses((status = 200, description = "Being made", body = InstanceResponse, headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage compute-container-instances"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let (instance, containers, work) = operation::create(&cloud, &caller, &body).await?;
    let mut response = resource(InstanceResponse::new(&instance, &containers)?, Some(&instance.etag()));
    let work = HeaderValue::try_from(work.as_str()).expect("an id is a header value");
    response.headers_mut().insert(WORK_REQUEST, work);
    Ok(response)
}

/// Lists the container instances of a compartment.
#[utoipa::path(
    get,
    path = "/containerInstances",
    tag = "Container instances",
    operation_id = "list_container_instances",
    params(PageParams, ("compartmentId" = String, Query, description = "The compartment"), ("displayName" = Option<String>, Query, description = "Only those of this name"), ("availabilityDomain" = Option<String>, Query, description = "Only those in this domain"), ("lifecycleState" = Option<Vec<InstanceState>>, Query, description = "Only those in these states")),
    responses((status = 200, description = "OK", body = ListResponse)),
    extensions(("x-hako-access" = json!("inspect compute-container-instances"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment =
        caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::ContainerInstances)?;
    let (filter, page) = (filter(&params)?, params.page(SORTS, descending(&params))?);
    let rows = store::list(&cloud.db, &cloud.hosts.sealer, &compartment, &filter, &page).await?;
    // Looked up before it is answered: a shape that is not known any more is an error, not a gap.
    let rows = rows.into_iter().map(|row| Ok((SummaryResponse::new(&row)?, row))).collect::<Result<Vec<_>, Error>>()?;
    let key = |(_, row): &(SummaryResponse, Instance), column: &str| {
        (sort_key(column, row.created_ms, &row.display_name), row.id.as_str().to_owned())
    };
    Ok(page.collection(rows, key, |(summary, _)| summary))
}

fn sort_key(column: &str, created_ms: i64, display_name: &str) -> SortKey {
    if column == "created_ms" { SortKey::Number(created_ms) } else { SortKey::Text(display_name.to_owned()) }
}

/// A page of container instances.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = ContainerInstanceCollection)]
#[allow(dead_code, reason = "documents what rest::Page answers")]
struct ListResponse {
    items: Vec<SummaryResponse>,
}

/// Gets a container instance.
#[utoipa::path(
    get,
    path = "/containerInstances/{containerInstanceId}",
    tag = "Container instances",
    operation_id = "get_container_instance",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    responses((status = 200, description = "OK", body = InstanceResponse)),
    extensions(("x-hako-access" = json!("read compute-container-instances"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let instance = operation::find(&cloud, &caller, &id, Verb::Read).await?;
    let containers = store::containers(&cloud.db, &instance.id).await?;
    Ok(resource(InstanceResponse::new(&instance, &containers)?, Some(&instance.etag())))
}

/// Changes a container instance without a restart: names, tags, and (our addition) config files, restart policy, grace and
/// registries' passwords.
#[utoipa::path(
    put,
    path = "/containerInstances/{containerInstanceId}",
    tag = "Container instances",
    operation_id = "update_container_instance",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    request_body = UpdateInstanceDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("use compute-container-instances"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::update(&cloud, &caller, &id, &body).await?))
}

/// Deletes a container instance with its containers.
#[utoipa::path(
    delete,
    path = "/containerInstances/{containerInstanceId}",
    tag = "Container instances",
    operation_id = "delete_container_instance",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage compute-container-instances"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::delete(&cloud, &caller, &id).await?))
}

/// Starts a container instance that is INACTIVE.
#[utoipa::path(
    post,
    path = "/containerInstances/{containerInstanceId}/actions/start",
    tag = "Container instances",
    operation_id = "start_container_instance",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("use compute-container-instances"))),
)]
async fn start(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::start(&cloud, &caller, &id).await?))
}

/// Stops a container instance; it costs nothing until it is started.
#[utoipa::path(
    post,
    path = "/containerInstances/{containerInstanceId}/actions/stop",
    tag = "Container instances",
    operation_id = "stop_container_instance",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("use compute-container-instances"))),
)]
async fn stop(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::stop(&cloud, &caller, &id).await?))
}

/// Stops a container instance and starts it again.
#[utoipa::path(
    post,
    path = "/containerInstances/{containerInstanceId}/actions/restart",
    tag = "Container instances",
    operation_id = "restart_container_instance",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("use compute-container-instances"))),
)]
async fn restart(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::restart(&cloud, &caller, &id).await?))
}

/// Moves a container instance to another compartment.
#[utoipa::path(
    post,
    path = "/containerInstances/{containerInstanceId}/actions/changeCompartment",
    tag = "Container instances",
    operation_id = "change_container_instance_compartment",
    params(("containerInstanceId" = String, Path, description = "The container instance")),
    request_body = ChangeCompartmentDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage compute-container-instances"))),
)]
async fn change_compartment(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::change_compartment(&cloud, &caller, &id, &body).await?))
}

/// Lists the shapes of container instances.
#[utoipa::path(
    get,
    path = "/containerInstanceShapes",
    tag = "Container instances",
    operation_id = "list_container_instance_shapes",
    params(("compartmentId" = String, Query, description = "The compartment"), ("availabilityDomain" = Option<String>, Query, description = "Ignored: all domains offer the same")),
    responses((status = 200, description = "OK", body = Object)),
    extensions(("x-hako-access" = json!("inspect compute-container-instances"))),
)]
async fn shapes(caller: Caller, params: Params) -> Result<Response, Error> {
    caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::ContainerInstances)?;
    Ok(Json(json!({"items": shape::all()})).into_response())
}
