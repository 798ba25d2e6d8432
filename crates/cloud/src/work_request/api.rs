//! `/workRequests`.

use super::{WorkRequest, store};
use crate::{
    Cloud, Error,
    error::not_found,
    rest::{Caller, Params, Sort, SortKey, resource, time},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::WorkRequestId;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

const SORTS: &[Sort] = &[
    Sort { word: "TIME_ACCEPTED", column: "accepted_ms" },
    Sort { word: "ID", column: "id" },
    Sort { word: "OPERATION_TYPE", column: "operation_type" },
    Sort { word: "STATUS", column: "status" },
];

pub(crate) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/workRequests", get(list))
        .route("/workRequests/{id}", get(read))
        .route("/workRequests/{id}/logs", get(logs))
        .route("/workRequests/{id}/errors", get(errors))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkRequestResponse {
    id: WorkRequestId,
    operation_type: &'static str,
    status: &'static str,
    compartment_id: domain::CompartmentId,
    resources: Vec<ResourceResponse>,
    /// Our addition.
    percent_complete: f32,
    time_accepted: String,
    time_started: Option<String>,
    time_finished: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceResponse {
    action_type: String,
    entity_type: String,
    identifier: String,
    entity_uri: String,
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

async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?)?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = store::Filter {
        cluster_id: text("clusterId"),
        resource_id: text("resourceId"),
        resource_type: text("resourceType").map(|word| word.to_ascii_lowercase()),
        statuses: params.words("status")?,
    };
    let page = params.page(SORTS, true)?;
    let rows = store::list(&cloud.db, &compartment, &filter, &page).await?;
    let key = |work: &WorkRequest, column: &str| {
        let key = match column {
            "accepted_ms" => SortKey::Number(work.accepted_ms),
            "operation_type" => SortKey::Text(work.operation.as_str().into()),
            "status" => SortKey::Text(work.status.as_str().into()),
            _ => SortKey::Text(work.id.as_str().into()),
        };
        (key, work.id.as_str().to_owned())
    };
    Ok(page.answer(rows, key, WorkRequestResponse::from))
}

async fn find(cloud: &Cloud, caller: &Caller, id: &str) -> Result<WorkRequest, Error> {
    let found = store::get(&cloud.db, &caller.principal.tenant_id, id).await?;
    found.ok_or_else(|| not_found("work request", id))
}

async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    Ok(resource(WorkRequestResponse::from(work), None))
}

async fn logs(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    let lines = store::logs(&cloud.db, &work.id).await?;
    let entry = |(message, at): (String, i64)| json!({"message": message, "timestamp": time(at)});
    Ok(Json(lines.into_iter().map(entry).collect::<Vec<_>>()).into_response())
}

async fn errors(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let work = find(&cloud, &caller, &id).await?;
    let errors = store::errors(&cloud.db, &work.id).await?;
    let entry =
        |(code, message, at): (String, String, i64)| json!({"code": code, "message": message, "timestamp": time(at)});
    Ok(Json(errors.into_iter().map(entry).collect::<Vec<_>>()).into_response())
}
