//! `/auditEvents`. Source of names and shapes: OCI Audit API 20190901, in the form of CloudEvents 0.1.

use super::{Event, Outcome, store};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    error::invalid,
    rest::{Caller, Params, Sort, SortKey, time},
};
use axum::{extract::State, response::Response};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[Sort { word: "TIME", column: "at_ms" }];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One change that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    event_type: String,
    cloud_events_version: &'static str,
    event_type_version: &'static str,
    source: &'static str,
    event_id: String,
    event_time: String,
    content_type: &'static str,
    data: EventData,
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventData {
    /// Joins the events of one operation: its request id.
    event_grouping_id: String,
    /// The operation, in OCI's words.
    event_name: String,
    compartment_id: String,
    resource_id: Option<String>,
    resource_name: Option<String>,
    identity: EventIdentity,
    request: EventRequest,
    /// Missing if the service ended before the request did.
    response: Option<EventResponse>,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventIdentity {
    principal_name: String,
    principal_id: String,
    tenant_id: String,
    ip_address: String,
    user_agent: String,
}

/// What was sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventRequest {
    id: String,
    path: String,
    action: String,
    parameters: BTreeMap<String, Vec<String>>,
}

/// What was answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventResponse {
    /// The HTTP status, as a text.
    status: String,
    response_time: String,
    /// Code and message of a failure.
    message: Option<String>,
}

impl AuditEvent {
    fn new(event: Event, outcome: Option<Outcome>) -> Self {
        let root = event.tenancy_id.as_str().to_owned();
        let name: String = event.operation.split('_').map(capital).collect();
        let (compartment_id, resource) = match &outcome {
            Some(outcome) => (
                outcome.compartment_id.as_str().to_owned(),
                (outcome.resource_id.clone(), outcome.resource_name.clone()),
            ),
            None => (root, (None, None)),
        };
        let response = outcome.map(|outcome| EventResponse {
            status: outcome.status.to_string(),
            response_time: time(outcome.at_ms),
            message: outcome.failure.map(|(code, message)| format!("{code}: {message}")),
        });
        Self {
            event_type: format!("dev.hako.{name}"),
            cloud_events_version: "0.1",
            event_type_version: "2.0",
            source: "hakobune",
            event_id: event.id,
            event_time: time(event.at_ms),
            content_type: "application/json",
            data: EventData {
                event_grouping_id: event.request_id.clone(),
                event_name: name,
                compartment_id,
                resource_id: resource.0,
                resource_name: resource.1,
                identity: EventIdentity {
                    principal_name: event.user_name,
                    principal_id: event.user_id,
                    tenant_id: event.tenancy_id.as_str().to_owned(),
                    ip_address: event.address,
                    user_agent: event.user_agent,
                },
                request: EventRequest {
                    id: event.request_id,
                    path: event.path,
                    action: event.method,
                    parameters: BTreeMap::new(),
                },
                response,
            },
        }
    }
}

/// `create` as `Create`.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// Lists the changes that were asked for in a compartment, oldest first.
#[utoipa::path(
    get,
    path = "/auditEvents",
    tag = "Audit",
    operation_id = "list_events",
    params(
        ("compartmentId" = String, Query, description = "The compartment; what failed before one was known is in the root"),
        ("startTime" = String, Query, format = DateTime, description = "From then on"),
        ("endTime" = String, Query, format = DateTime, description = "Before then"),
        ("page" = Option<String>, Query, description = "Token of the page"),
    ),
    responses((status = 200, body = Vec<AuditEvent>)),
    extensions(("x-hako-access" = json!("read audit-events"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Read, Resource::AuditEvents)?;
    let moment = |name: &str| -> Result<i64, Error> {
        let text = params.required(name)?;
        let at: jiff::Timestamp = text.parse().map_err(|_| invalid(format!("{name}: {text:?} is no RFC 3339 time")))?;
        Ok(at.as_millisecond())
    };
    let span = (moment("startTime")?, moment("endTime")?);
    let page = params.page(SORTS, false)?;
    let rows = store::list(&cloud.db, &caller.principal.tenant_id, &compartment, span, &page).await?;
    let key = |(event, _): &(Event, Option<Outcome>), _: &str| (SortKey::Number(event.at_ms), event.id.clone());
    Ok(page.answer(rows, key, |(event, outcome)| AuditEvent::new(event, outcome)))
}
