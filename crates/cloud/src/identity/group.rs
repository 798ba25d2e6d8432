//! `/groups`. Source of names and shapes: OCI Identity API 20160918.

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster::wire::wire,
    entity::{Change, Entity, Kind, store::Table},
    error::invalid,
    openapi::PageParams,
    rest::{self, Caller, Params, resource, time},
    tag::{DefinedTags, FreeformTags},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;
use problem::oci;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::postgres::PgRow;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, remove))
}

/// A group has nothing but what all have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupFields;

impl Kind for GroupFields {
    const RESOURCE: Resource = Resource::Groups;
    const NOUN: &'static str = "group";
    const TABLE: Table = Table { name: "groups", own: &[], in_compartments: false, unique: "groups_name" };

    fn read(_: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self)
    }

    fn write(&self) -> serde_json::Value {
        json!({})
    }
}

/// What a new group should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateGroupDetails {
    /// The tenancy
    compartment_id: String,
    name: String,
    description: String,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    UpdateGroupDetails {
        description: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Group)]
struct GroupResponse {
    id: String,
    compartment_id: String,
    name: String,
    description: String,
    time_created: String,
    lifecycle_state: &'static str,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<GroupFields>> for GroupResponse {
    fn from(group: Entity<GroupFields>) -> Self {
        Self {
            id: group.id,
            compartment_id: group.compartment_id.as_str().to_owned(),
            name: group.name,
            description: group.description,
            lifecycle_state: "ACTIVE",
            time_created: time(group.created_ms),
            freeform_tags: group.freeform_tags,
            defined_tags: group.defined_tags,
        }
    }
}

fn answer(group: Entity<GroupFields>) -> Response {
    let etag = group.etag();
    resource(GroupResponse::from(group), Some(&etag))
}

/// Makes a group.
#[utoipa::path(
    post,
    path = "/groups",
    tag = "Identity",
    operation_id = "create_group",
    request_body = CreateGroupDetails,
    responses((status = 200, description = "OK", body = GroupResponse)),
    extensions(("x-hako-access" = json!("manage groups"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreateGroupDetails = rest::body(&body)?;
    let compartment = super::tenancy_of(&caller, &details.compartment_id, Resource::Groups)?;
    let CreateGroupDetails { name, description, freeform_tags, defined_tags, .. } = details;
    let change = Change { description: Some(description), freeform_tags, defined_tags };
    let id = domain::GroupId::generate();
    let group = Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, GroupFields)?;
    Ok(answer(group.create(&cloud, &caller, &body).await?))
}

/// Lists the groups of a tenancy.
#[utoipa::path(
    get,
    path = "/groups",
    tag = "Identity",
    operation_id = "list_groups",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The tenancy"),
        ("name" = Option<String>, Query, description = "Only groups of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only groups in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<GroupResponse>)),
    extensions(("x-hako-access" = json!("inspect groups"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    Entity::list(&cloud, &caller, &params, &[], GroupResponse::from).await
}

/// Gets a group.
#[utoipa::path(
    get,
    path = "/groups/{groupId}",
    tag = "Identity",
    operation_id = "get_group",
    params(("groupId" = String, Path, description = "The group")),
    responses((status = 200, description = "OK", body = GroupResponse)),
    extensions(("x-hako-access" = json!("inspect groups"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(Entity::<GroupFields>::find(&cloud, &caller, &id, Verb::Inspect).await?))
}

/// Changes a group.
#[utoipa::path(
    put,
    path = "/groups/{groupId}",
    tag = "Identity",
    operation_id = "update_group",
    params(("groupId" = String, Path, description = "The group")),
    request_body = UpdateGroupDetails,
    responses((status = 200, description = "OK", body = GroupResponse)),
    extensions(("x-hako-access" = json!("use groups"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdateGroupDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut group = Entity::<GroupFields>::lock(&mut txn, &caller, &id, Verb::Use).await?;
    let UpdateGroupDetails { description, freeform_tags, defined_tags, .. } = details;
    group.change(Change { description, freeform_tags, defined_tags })?;
    Ok(answer(group.save(&cloud, txn).await?))
}

/// Deletes a group.
#[utoipa::path(
    delete,
    path = "/groups/{groupId}",
    tag = "Identity",
    operation_id = "delete_group",
    params(("groupId" = String, Path, description = "The group")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage groups"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    let group = Entity::<GroupFields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    if group.name == super::ADMINISTRATORS {
        return Err(invalid("the group Administrators can't be deleted"));
    }
    if super::store::members(&mut txn, &group.id).await? > 0 {
        return Err(oci::Error::incorrect_state("the group has members; remove them first").into());
    }
    group.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}
