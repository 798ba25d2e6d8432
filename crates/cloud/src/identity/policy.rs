//! `/policies`. Source of names and shapes: OCI Identity API 20160918.

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster::wire::wire,
    entity::{Change, Entity, Kind, store::Table},
    error::invalid,
    openapi::PageParams,
    policy::check_statements,
    rest::{self, Caller, Params, resource, time},
    tag::{DefinedTags, FreeformTags},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use domain::CompartmentId;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Row, postgres::PgRow};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, remove))
}

/// What only policies have.
#[derive(Debug, Clone)]
pub(crate) struct PolicyFields {
    pub(crate) statements: Vec<String>,
    /// As of when the words of the statements are meant; kept, without effect.
    pub(crate) version_date: Option<String>,
}

impl Kind for PolicyFields {
    const RESOURCE: Resource = Resource::Policies;
    const NOUN: &'static str = "policy";
    const TABLE: Table = Table {
        name: "policies",
        own: &[("statements", "text[]"), ("version_date", "text")],
        in_compartments: true,
        unique: "policies_name",
    };

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { statements: row.try_get("statements")?, version_date: row.try_get("version_date")? })
    }

    fn write(&self) -> serde_json::Value {
        json!({"statements": self.statements, "version_date": self.version_date})
    }
}

/// What a new policy should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreatePolicyDetails {
    /// The compartment; its statements reach it and what is below
    compartment_id: String,
    name: String,
    description: String,
    statements: Vec<String>,
    version_date: Option<String>,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    UpdatePolicyDetails {
        description: String,
        statements: Vec<String>,
        version_date: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Policy)]
struct PolicyResponse {
    id: String,
    compartment_id: String,
    name: String,
    description: String,
    statements: Vec<String>,
    version_date: Option<String>,
    time_created: String,
    lifecycle_state: &'static str,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<PolicyFields>> for PolicyResponse {
    fn from(policy: Entity<PolicyFields>) -> Self {
        Self {
            id: policy.id,
            compartment_id: policy.compartment_id.as_str().to_owned(),
            name: policy.name,
            description: policy.description,
            statements: policy.own.statements,
            version_date: policy.own.version_date,
            lifecycle_state: "ACTIVE",
            time_created: time(policy.created_ms),
            freeform_tags: policy.freeform_tags,
            defined_tags: policy.defined_tags,
        }
    }
}

fn answer(policy: Entity<PolicyFields>) -> Response {
    let etag = policy.etag();
    resource(PolicyResponse::from(policy), Some(&etag))
}

/// Makes a policy.
#[utoipa::path(
    post,
    path = "/policies",
    tag = "Identity",
    operation_id = "create_policy",
    request_body = CreatePolicyDetails,
    responses((status = 200, description = "OK", body = PolicyResponse)),
    extensions(("x-hako-access" = json!("manage policies"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreatePolicyDetails = rest::body(&body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::Policies)?;
    let CreatePolicyDetails { name, description, statements, version_date, freeform_tags, defined_tags, .. } = details;
    check_statements(&statements)?;
    let own = PolicyFields { statements, version_date: check_date(version_date)? };
    let change = Change { description: Some(description), freeform_tags, defined_tags };
    let id = domain::PolicyId::generate();
    let policy = Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, own)?;
    Ok(answer(policy.create(&cloud, &caller, &body).await?))
}

/// Lists the policies attached to a compartment.
#[utoipa::path(
    get,
    path = "/policies",
    tag = "Identity",
    operation_id = "list_policies",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The compartment; its statements reach it and what is below"),
        ("name" = Option<String>, Query, description = "Only policies of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only policies in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<PolicyResponse>)),
    extensions(("x-hako-access" = json!("inspect policies"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    Entity::list(&cloud, &caller, &params, &[], PolicyResponse::from).await
}

/// Gets a policy.
#[utoipa::path(
    get,
    path = "/policies/{policyId}",
    tag = "Identity",
    operation_id = "get_policy",
    params(("policyId" = String, Path, description = "The policy")),
    responses((status = 200, description = "OK", body = PolicyResponse)),
    extensions(("x-hako-access" = json!("inspect policies"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(Entity::<PolicyFields>::find(&cloud, &caller, &id, Verb::Inspect).await?))
}

/// Changes a policy.
#[utoipa::path(
    put,
    path = "/policies/{policyId}",
    tag = "Identity",
    operation_id = "update_policy",
    params(("policyId" = String, Path, description = "The policy")),
    request_body = UpdatePolicyDetails,
    responses((status = 200, description = "OK", body = PolicyResponse)),
    extensions(("x-hako-access" = json!("manage policies"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdatePolicyDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut policy = Entity::<PolicyFields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    refuse_admin(&policy)?;
    if let Some(statements) = details.statements.clone() {
        check_statements(&statements)?;
        policy.own.statements = statements;
    }
    if let Some(date) = details.version_date.clone() {
        policy.own.version_date = check_date(Some(date))?;
    }
    let UpdatePolicyDetails { description, freeform_tags, defined_tags, .. } = details;
    policy.change(Change { description, freeform_tags, defined_tags })?;
    Ok(answer(policy.save(&cloud, txn).await?))
}

/// Deletes a policy.
#[utoipa::path(
    delete,
    path = "/policies/{policyId}",
    tag = "Identity",
    operation_id = "delete_policy",
    params(("policyId" = String, Path, description = "The policy")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage policies"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    let policy = Entity::<PolicyFields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    refuse_admin(&policy)?;
    policy.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}

/// The administrators' policy stays as it is: without it nobody could make another one.
fn refuse_admin(policy: &Entity<PolicyFields>) -> Result<(), Error> {
    if policy.name == super::ADMIN_POLICY && policy.compartment_id == CompartmentId::root(&policy.tenancy_id) {
        return Err(invalid(format!("the policy {:?} can't be changed or deleted", policy.name)));
    }
    Ok(())
}

/// A date as `2026-11-28`, or nothing.
fn check_date(date: Option<String>) -> Result<Option<String>, Error> {
    match date.filter(|date| !date.is_empty()) {
        Some(date) if date.get(..10).is_none_or(|day| day.parse::<jiff::civil::Date>().is_err()) => {
            Err(invalid(format!("versionDate: {date:?} is no date like 2026-11-28")))
        }
        date => Ok(date),
    }
}
