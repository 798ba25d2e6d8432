//! `/workRequests` of Container Instances: the same work requests, in lists that are objects.

use super::{
    Api, WorkRequest,
    api::{ErrorResponse, LogEntryResponse, WorkRequestResponse, sort_key},
    store,
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    caller::Owned,
    openapi::PageParams,
    rest::{Caller, Params, Sort, resource, time},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use domain::CompartmentId;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[Sort { word: "timeAccepted", column: "accepted_ms" }];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(logs)).routes(routes!(errors))
}

/// A work request that is asked for as one of Container Instances.
struct OfInstances(WorkRequest);

impl Owned for OfInstances {
    const RESOURCE: Resource = Resource::ContainerInstances;
    const NOUN: &'static str = WorkRequest::NOUN;

    fn compartment(&self) -> &CompartmentId {
        &self.0.compartment_id
    }

    fn name(&self) -> &str {
        self.0.operation.as_str()
    }
}

/// A page of work requests.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WorkRequestSummaryCollection)]
#[allow(dead_code, reason = "documents what rest::Page answers")]
struct ListResponse {
    items: Vec<WorkRequestResponse>,
}

/// All steps of a work request.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WorkRequestLogEntryCollection)]
struct LogsResponse {
    items: Vec<LogEntryResponse>,
}

/// All errors of a work request.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WorkRequestErrorCollection)]
struct ErrorsResponse {
    items: Vec<ErrorResponse>,
}

/// Lists the work requests of Container Instances in a compartment, newest first.
#[utoipa::path(
    get,
    path = "/workRequests",
    tag = "Container instance work requests",
    operation_id = "list_container_instance_work_requests",
    params(PageParams, ("compartmentId" = String, Query, description = "The compartment"), ("resourceId" = Option<String>, Query, description = "Only those of this resource"), ("workRequestId" = Option<String>, Query, description = "Only this one"), ("status" = Option<Vec<super::Status>>, Query, description = "Only those in these states")),
    responses((status = 200, description = "OK", body = ListResponse)),
    extensions(("x-hako-access" = json!("inspect compute-container-instances"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment =
        caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::ContainerInstances)?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = store::Filter {
        operations: Api::Instances.operations(),
        id: text("workRequestId"),
        resource_id: text("resourceId"),
        statuses: params.words("status")?,
        ..store::Filter::default()
    };
    let page = params.page(SORTS, true)?;
    let rows = store::list(&cloud.db, &compartment, &filter, &page).await?;
    Ok(page.collection(rows, sort_key, WorkRequestResponse::from))
}

async fn find(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequest, Error> {
    let found = store::get(&cloud.db, &caller.principal.tenant_id, id).await?;
    let found = found.filter(|work| work.operation.api() == Api::Instances).map(OfInstances);
    Ok(caller.admit(Verb::Read, found, id)?.0)
}

/// Gets a work request of Container Instances.
#[utoipa::path(
    get,
    path = "/workRequests/{workRequestId}",
    tag = "Container instance work requests",
    operation_id = "get_container_instance_work_request",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 200, description = "OK", body = WorkRequestResponse)),
    extensions(("x-hako-access" = json!("read compute-container-instances"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    Ok(resource(WorkRequestResponse::from(work), None))
}

/// Lists what was done, oldest first.
#[utoipa::path(
    get,
    path = "/workRequests/{workRequestId}/logs",
    tag = "Container instance work requests",
    operation_id = "list_container_instance_work_request_logs",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 200, description = "OK", body = LogsResponse)),
    extensions(("x-hako-access" = json!("read compute-container-instances"))),
)]
async fn logs(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    let lines = store::logs(&cloud.db, &work.id).await?;
    let entry = |(message, at): (String, i64)| LogEntryResponse { message, timestamp: time(at) };
    Ok(Json(LogsResponse { items: lines.into_iter().map(entry).collect() }).into_response())
}

/// Lists what went wrong, oldest first.
#[utoipa::path(
    get,
    path = "/workRequests/{workRequestId}/errors",
    tag = "Container instance work requests",
    operation_id = "list_container_instance_work_request_errors",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 200, description = "OK", body = ErrorsResponse)),
    extensions(("x-hako-access" = json!("read compute-container-instances"))),
)]
async fn errors(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    let errors = store::errors(&cloud.db, &work.id).await?;
    let entry = |(code, message, at)| ErrorResponse { code, message, timestamp: time(at) };
    Ok(Json(ErrorsResponse { items: errors.into_iter().map(entry).collect() }).into_response())
}
