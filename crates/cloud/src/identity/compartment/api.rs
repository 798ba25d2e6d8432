//! `/compartments`. Source of names and shapes: OCI Identity API 20160918.

use super::Compartment;
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster::wire::wire,
    openapi::PageParams,
    rest::{Caller, Params, Sort, SortKey, resource, time},
    tag::{DefinedTags, FreeformTags},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[Sort { word: "TIMECREATED", column: "created_ms" }, Sort { word: "NAME", column: "name" }];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, remove)).routes(routes!(relocate))
}

/// What a new compartment should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateCompartmentDetails {
    /// The parent.
    pub(super) compartment_id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) freeform_tags: Option<FreeformTags>,
    pub(super) defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    UpdateCompartmentDetails {
        name: String,
        description: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// Where a compartment should go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MoveCompartmentDetails {
    pub(super) target_compartment_id: String,
}

/// A compartment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Compartment)]
struct CompartmentResponse {
    id: String,
    /// The parent.
    compartment_id: String,
    name: String,
    description: String,
    time_created: String,
    lifecycle_state: &'static str,
    is_accessible: bool,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl CompartmentResponse {
    fn new(compartment: Compartment, caller: &Caller) -> Self {
        Self {
            is_accessible: caller.may(Verb::Inspect, Resource::Clusters, &compartment.id),
            id: compartment.id.as_str().to_owned(),
            compartment_id: compartment.parent_id.as_str().to_owned(),
            name: compartment.name,
            description: compartment.description,
            time_created: time(compartment.created_ms),
            lifecycle_state: if compartment.active { "ACTIVE" } else { "DELETED" },
            freeform_tags: compartment.freeform_tags,
            defined_tags: compartment.defined_tags,
        }
    }
}

fn answer(compartment: Compartment, caller: &Caller) -> Response {
    let etag = compartment.etag();
    resource(CompartmentResponse::new(compartment, caller), Some(&etag))
}

/// Makes a compartment.
#[utoipa::path(
    post,
    path = "/compartments",
    tag = "Identity",
    operation_id = "create_compartment",
    request_body = CreateCompartmentDetails,
    responses((status = 200, description = "OK", body = CompartmentResponse)),
    extensions(("x-hako-access" = json!("manage compartments"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    Ok(answer(super::create(&cloud, &caller, &body).await?, &caller))
}

/// Lists the compartments of a compartment, or of all below it.
#[utoipa::path(
    get,
    path = "/compartments",
    tag = "Identity",
    operation_id = "list_compartments",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The parent"),
        ("compartmentIdInSubtree" = Option<bool>, Query, description = "All levels below, not only the first"),
        ("accessLevel" = Option<String>, Query, description = "ANY, or ACCESSIBLE: only those that the caller may use"),
        ("name" = Option<String>, Query, description = "Only compartments of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only compartments in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<CompartmentResponse>)),
    extensions(("x-hako-access" = json!("inspect compartments"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let parent = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Compartments)?;
    let subtree = params.flag("compartmentIdInSubtree")?;
    let parents = if subtree { caller.grants.subtree(&parent) } else { vec![parent] };
    let active = params.one_of("lifecycleState", &[("ACTIVE", true), ("DELETED", false)])?;
    let page = params.page(SORTS, false)?;
    let rows = super::store::list(&cloud.db, &caller.principal.tenant_id, &parents, params.get("name"), active, &page);
    let key = |compartment: &Compartment, column: &str| {
        let key = match column {
            "created_ms" => SortKey::Number(compartment.created_ms),
            _ => SortKey::Text(compartment.name.clone()),
        };
        (key, compartment.id.as_str().to_owned())
    };
    Ok(page.answer(rows.await?, key, |compartment| CompartmentResponse::new(compartment, &caller)))
}

/// Gets a compartment.
#[utoipa::path(
    get,
    path = "/compartments/{compartmentId}",
    tag = "Identity",
    operation_id = "get_compartment",
    params(("compartmentId" = String, Path, description = "The compartment, or the tenancy")),
    responses((status = 200, description = "OK", body = CompartmentResponse)),
    extensions(("x-hako-access" = json!("inspect compartments"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(super::find(&cloud, &caller, &id).await?, &caller))
}

/// Changes a compartment.
#[utoipa::path(
    put,
    path = "/compartments/{compartmentId}",
    tag = "Identity",
    operation_id = "update_compartment",
    params(("compartmentId" = String, Path, description = "The compartment")),
    request_body = UpdateCompartmentDetails,
    responses((status = 200, description = "OK", body = CompartmentResponse)),
    extensions(("x-hako-access" = json!("use compartments"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(answer(super::update(&cloud, &caller, &id, &body).await?, &caller))
}

/// Deletes an empty compartment.
#[utoipa::path(
    delete,
    path = "/compartments/{compartmentId}",
    tag = "Identity",
    operation_id = "delete_compartment",
    params(("compartmentId" = String, Path, description = "The compartment")),
    responses((status = 202, description = "Accepted, and done")),
    extensions(("x-hako-access" = json!("manage compartments"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    super::delete(&cloud, &caller, &id).await.map(|()| StatusCode::ACCEPTED)
}

/// Moves a compartment with all that is in it.
#[utoipa::path(
    post,
    path = "/compartments/{compartmentId}/actions/moveCompartment",
    tag = "Identity",
    operation_id = "move_compartment",
    params(("compartmentId" = String, Path, description = "The compartment")),
    request_body = MoveCompartmentDetails,
    responses((status = 202, description = "Accepted, and done")),
    extensions(("x-hako-access" = json!("manage compartments"))),
)]
async fn relocate(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Error> {
    super::relocate(&cloud, &caller, &id, &body).await.map(|()| StatusCode::ACCEPTED)
}
