//! `/containers`.

use super::{SORTS, descending, filter, sort_key};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    container_instance::{
        Container, Instance, InstanceState,
        answer::{ContainerResponse, ContainerSummaryResponse},
        operation, store, stream,
        wire::UpdateContainerDetails,
    },
    error::not_found,
    openapi::PageParams,
    rest::{Caller, Params, accepted, resource},
};
use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read, update))
        .routes(routes!(retrieve_logs))
        .routes(routes!(follow_logs))
        .routes(routes!(exec))
}

/// A page of containers.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = ContainerCollection)]
#[allow(dead_code, reason = "documents what rest::Page answers")]
struct ListResponse {
    items: Vec<ContainerSummaryResponse>,
}

/// Lists the containers of a compartment.
#[utoipa::path(
    get,
    path = "/containers",
    tag = "Containers",
    operation_id = "list_containers",
    params(PageParams, ("compartmentId" = String, Query, description = "The compartment"), ("containerInstanceId" = Option<String>, Query, description = "Only those of this container instance"), ("displayName" = Option<String>, Query, description = "Only those of this name"), ("availabilityDomain" = Option<String>, Query, description = "Only those in this domain"), ("lifecycleState" = Option<Vec<InstanceState>>, Query, description = "Only those in these states")),
    responses((status = 200, description = "OK", body = ListResponse)),
    extensions(("x-hako-access" = json!("inspect compute-containers"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Containers)?;
    let (filter, page) = (filter(&params)?, params.page(SORTS, descending(&params))?);
    let rows = store::list_containers(&cloud.db, &compartment, &filter, &page).await?;
    let ids = rows.iter().map(|row| row.instance_id.to_string()).collect();
    let instances = store::get_many(&cloud.db, &cloud.hosts.sealer, ids).await?;
    let instances: HashMap<String, Instance> = instances.into_iter().map(|one| (one.id.to_string(), one)).collect();
    let key = |row: &Container, column: &str| {
        (sort_key(column, row.created_ms, &row.display_name), row.id.as_str().to_owned())
    };
    let wire = |row: Container| {
        instances.get(row.instance_id.as_str()).and_then(|instance| ContainerSummaryResponse::new(instance, &row))
    };
    Ok(page.collection(rows, key, wire))
}

/// Gets a container.
#[utoipa::path(
    get,
    path = "/containers/{containerId}",
    tag = "Containers",
    operation_id = "get_container",
    params(("containerId" = String, Path, description = "The container")),
    responses((status = 200, description = "OK", body = ContainerResponse)),
    extensions(("x-hako-access" = json!("read compute-containers"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let (instance, container) = operation::find_container(&cloud, &caller, &id, Verb::Read).await?;
    let answer = ContainerResponse::new(&instance, &container).ok_or_else(|| not_found("container", &id))?;
    Ok(resource(answer, Some(&container.etag())))
}

/// Changes a container's name and tags.
#[utoipa::path(
    put,
    path = "/containers/{containerId}",
    tag = "Containers",
    operation_id = "update_container",
    params(("containerId" = String, Path, description = "The container")),
    request_body = UpdateContainerDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("use compute-containers"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::update_container(&cloud, &caller, &id, &body).await?))
}

/// Gives the last 256 KB of a container's log.
#[utoipa::path(
    post,
    path = "/containers/{containerId}/actions/retrieveLogs",
    tag = "Containers",
    operation_id = "retrieve_logs",
    params(("containerId" = String, Path, description = "The container"), ("isPrevious" = Option<bool>, Query, description = "The log of the run before")),
    responses((status = 200, description = "OK", body = String, content_type = "text/plain")),
    extensions(("x-hako-access" = json!("read compute-containers"))),
)]
async fn retrieve_logs(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    let (instance, container) = operation::find_container(&cloud, &caller, &id, Verb::Read).await?;
    stream::last_logs(&cloud, &instance, &container, params.get("isPrevious") == Some("true")).await
}

/// Gives a container's log as a stream: our addition.
#[utoipa::path(
    get,
    path = "/containers/{containerId}/logs",
    tag = "Containers",
    operation_id = "follow_logs",
    params(("containerId" = String, Path, description = "The container"), ("follow" = Option<bool>, Query, description = "Go on with what is written later"), ("isPrevious" = Option<bool>, Query, description = "The log of the run before"), ("timestamps" = Option<bool>, Query, description = "Each line with its time"), ("tail" = Option<i64>, Query, description = "Begin with the last so many lines")),
    responses((status = 200, description = "OK", body = String, content_type = "text/plain")),
    extensions(("x-hako-access" = json!("read compute-containers"))),
)]
async fn follow_logs(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    let (instance, container) = operation::find_container(&cloud, &caller, &id, Verb::Read).await?;
    stream::follow_logs(&cloud, &instance, &container, &params).await
}

/// Runs a command in a container, over a WebSocket of subprotocol `v5.channel.k8s.io`: our addition.
#[utoipa::path(
    get,
    path = "/containers/{containerId}/actions/exec",
    tag = "Containers",
    operation_id = "exec_container",
    params(("containerId" = String, Path, description = "The container"), ("command" = Vec<String>, Query, description = "The program and its arguments, one each"), ("stdin" = Option<bool>, Query, description = "Pass input on"), ("stdout" = Option<bool>, Query, description = "Pass output on"), ("stderr" = Option<bool>, Query, description = "Pass error output on"), ("tty" = Option<bool>, Query, description = "Give it a terminal")),
    responses((status = 101, description = "The protocol is switched")),
    extensions(("x-hako-access" = json!("manage compute-containers"))),
)]
async fn exec(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, Error> {
    let (instance, container) = operation::find_container(&cloud, &caller, &id, Verb::Manage).await?;
    stream::exec(&cloud, &instance, &container, &params, request)
}
