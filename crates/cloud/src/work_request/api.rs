//! `/workRequests`.

use super::{Api, WorkRequest, store};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    openapi::PageParams,
    rest::{Caller, Params, Sort, SortKey, resource, time},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use domain::WorkRequestId;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[
    Sort { word: "TIME_ACCEPTED", column: "accepted_ms" },
    Sort { word: "ID", column: "id" },
    Sort { word: "OPERATION_TYPE", column: "operation_type" },
    Sort { word: "STATUS", column: "status" },
];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read, cancel))
        .routes(routes!(logs))
        .routes(routes!(errors))
}

/// A work request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkRequest)]
pub(super) struct WorkRequestResponse {
    #[schema(value_type = String)]
    id: WorkRequestId,
    operation_type: &'static str,
    status: &'static str,
    #[schema(value_type = String)]
    compartment_id: domain::CompartmentId,
    resources: Vec<ResourceResponse>,
    /// Our addition.
    percent_complete: f32,
    time_accepted: String,
    time_started: Option<String>,
    time_finished: Option<String>,
}

/// What the work is done to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkRequestResource)]
struct ResourceResponse {
    action_type: String,
    entity_type: String,
    identifier: String,
    entity_uri: String,
}

/// One step of the work.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WorkRequestLogEntry)]
pub(super) struct LogEntryResponse {
    pub(super) message: String,
    pub(super) timestamp: String,
}

/// Why the work failed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WorkRequestError)]
pub(super) struct ErrorResponse {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) timestamp: String,
}

impl From<WorkRequest> for WorkRequestResponse {
    fn from(work: WorkRequest) -> Self {
        let entity_uri = format!("{}{}", work.operation.entity().1, work.resource_id);
        Self {
            id: work.id,
            operation_type: work.operation.as_str(),
            status: work.status.as_str(),
            compartment_id: work.compartment_id,
            resources: vec![ResourceResponse {
                action_type: work.action_type,
                entity_type: work.entity_type,
                identifier: work.resource_id,
                entity_uri,
            }],
            percent_complete: work.percent_complete,
            time_accepted: time(work.accepted_ms),
            time_started: work.started_ms.map(time),
            time_finished: work.finished_ms.map(time),
        }
    }
}

/// Lists the work requests of a compartment, newest first.
#[utoipa::path(
    get,
    path = "/workRequests",
    tag = "Work requests",
    operation_id = "list_work_requests",
    params(PageParams, ("compartmentId" = String, Query, description = "The compartment"), ("clusterId" = Option<String>, Query, description = "Only those of this cluster"), ("resourceId" = Option<String>, Query, description = "Only those of this resource"), ("resourceType" = Option<String>, Query, description = "Only those of this type of resource"), ("status" = Option<Vec<super::Status>>, Query, description = "Only those in these states")),
    responses((status = 200, description = "OK", body = Vec<WorkRequestResponse>)),
    extensions(("x-hako-access" = json!("inspect cluster-work-requests"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment =
        caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::ClusterWorkRequests)?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = store::Filter {
        operations: Api::Engine.operations(),
        id: None,
        cluster_id: text("clusterId"),
        resource_id: text("resourceId"),
        resource_type: text("resourceType").map(|word| word.to_ascii_lowercase()),
        statuses: params.words("status")?,
    };
    let page = params.page(SORTS, true)?;
    let rows = store::list(&cloud.db, &compartment, &filter, &page).await?;
    Ok(page.answer(rows, sort_key, WorkRequestResponse::from))
}

/// Where a work request stands in a list.
pub(super) fn sort_key(work: &WorkRequest, column: &str) -> (SortKey, String) {
    let key = match column {
        "accepted_ms" => SortKey::Number(work.accepted_ms),
        "operation_type" => SortKey::Text(work.operation.as_str().into()),
        "status" => SortKey::Text(work.status.as_str().into()),
        _ => SortKey::Text(work.id.as_str().into()),
    };
    (key, work.id.as_str().to_owned())
}

async fn find(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequest, Error> {
    let found = store::get(&cloud.db, &caller.principal.tenant_id, id).await?;
    caller.admit(Verb::Read, found.filter(|work| work.operation.api() == Api::Engine), id)
}

/// Gets a work request.
#[utoipa::path(
    get,
    path = "/workRequests/{workRequestId}",
    tag = "Work requests",
    operation_id = "get_work_request",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 200, description = "OK", body = WorkRequestResponse)),
    extensions(("x-hako-access" = json!("read cluster-work-requests"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    Ok(resource(WorkRequestResponse::from(work), None))
}

/// Cancels a work request that has not begun.
#[utoipa::path(
    delete,
    path = "/workRequests/{workRequestId}",
    tag = "Work requests",
    operation_id = "delete_work_request",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 204, description = "Cancelled")),
    extensions(("x-hako-access" = json!("manage cluster-work-requests"))),
)]
async fn cancel(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    super::cancel(&cloud, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lists what was done, oldest first.
#[utoipa::path(
    get,
    path = "/workRequests/{workRequestId}/logs",
    tag = "Work requests",
    operation_id = "list_work_request_logs",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 200, description = "OK", body = Vec<LogEntryResponse>)),
    extensions(("x-hako-access" = json!("read cluster-work-requests"))),
)]
async fn logs(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    let lines = store::logs(&cloud.db, &work.id).await?;
    let entry = |(message, at): (String, i64)| LogEntryResponse { message, timestamp: time(at) };
    Ok(Json(lines.into_iter().map(entry).collect::<Vec<_>>()).into_response())
}

/// Lists what went wrong, oldest first.
#[utoipa::path(
    get,
    path = "/workRequests/{workRequestId}/errors",
    tag = "Work requests",
    operation_id = "list_work_request_errors",
    params(("workRequestId" = String, Path, description = "The work request")),
    responses((status = 200, description = "OK", body = Vec<ErrorResponse>)),
    extensions(("x-hako-access" = json!("read cluster-work-requests"))),
)]
async fn errors(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    let errors = store::errors(&cloud.db, &work.id).await?;
    let entry = |(code, message, at)| ErrorResponse { code, message, timestamp: time(at) };
    Ok(Json(errors.into_iter().map(entry).collect::<Vec<_>>()).into_response())
}
