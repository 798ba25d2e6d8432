//! `/20181025/quotas`. Source of names and shapes: OCI Limits API.

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

/// What only quotas have.
#[derive(Debug, Clone)]
pub(crate) struct QuotaFields {
    pub(crate) statements: Vec<String>,
}

impl Kind for QuotaFields {
    const RESOURCE: Resource = Resource::Quotas;
    const NOUN: &'static str = "quota";
    const TABLE: Table =
        Table { name: "quotas", own: &[("statements", "text[]")], in_compartments: false, unique: "quotas_name" };

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { statements: row.try_get("statements")? })
    }

    fn write(&self) -> serde_json::Value {
        json!({"statements": self.statements})
    }
}

/// What a new quota should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateQuotaDetails {
    /// The tenancy
    compartment_id: String,
    name: String,
    description: String,
    statements: Vec<String>,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    UpdateQuotaDetails {
        description: String,
        statements: Vec<String>,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A quota.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Quota)]
struct QuotaResponse {
    id: String,
    compartment_id: String,
    name: String,
    description: String,
    /// Left out of lists, as OCI does.
    statements: Option<Vec<String>>,
    time_created: String,
    lifecycle_state: &'static str,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<QuotaFields>> for QuotaResponse {
    fn from(quota: Entity<QuotaFields>) -> Self {
        Self {
            id: quota.id,
            compartment_id: quota.compartment_id.as_str().to_owned(),
            name: quota.name,
            description: quota.description,
            statements: Some(quota.own.statements),
            lifecycle_state: "ACTIVE",
            time_created: time(quota.created_ms),
            freeform_tags: quota.freeform_tags,
            defined_tags: quota.defined_tags,
        }
    }
}

fn answer(quota: Entity<QuotaFields>) -> Response {
    let etag = quota.etag();
    resource(QuotaResponse::from(quota), Some(&etag))
}

/// Makes a quota.
#[utoipa::path(
    post,
    path = "/quotas",
    tag = "Limits",
    operation_id = "create_quota",
    request_body = CreateQuotaDetails,
    responses((status = 200, description = "OK", body = QuotaResponse)),
    extensions(("x-hako-access" = json!("manage quotas"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreateQuotaDetails = rest::body(&body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::Quotas)?;
    if compartment != CompartmentId::root(&caller.principal.tenant_id) {
        return Err(invalid("compartmentId must be the tenancy: quotas lie there"));
    }
    let CreateQuotaDetails { name, description, statements, freeform_tags, defined_tags, .. } = details;
    check_statements(&statements)?;
    let own = QuotaFields { statements };
    let change = Change { description: Some(description), freeform_tags, defined_tags };
    let id = domain::QuotaId::generate();
    let quota = Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, own)?;
    Ok(answer(quota.create(&cloud, &caller, &body).await?))
}

/// Lists the quotas of the tenancy.
#[utoipa::path(
    get,
    path = "/quotas",
    tag = "Limits",
    operation_id = "list_quotas",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The tenancy"),
        ("name" = Option<String>, Query, description = "Only quotas of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only quotas in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<QuotaResponse>)),
    extensions(("x-hako-access" = json!("inspect quotas"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let summary = |quota| QuotaResponse { statements: None, ..QuotaResponse::from(quota) };
    Entity::list(&cloud, &caller, &params, &[], summary).await
}

/// Gets a quota.
#[utoipa::path(
    get,
    path = "/quotas/{quotaId}",
    tag = "Limits",
    operation_id = "get_quota",
    params(("quotaId" = String, Path, description = "The quota")),
    responses((status = 200, description = "OK", body = QuotaResponse)),
    extensions(("x-hako-access" = json!("inspect quotas"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(Entity::<QuotaFields>::find(&cloud, &caller, &id, Verb::Inspect).await?))
}

/// Changes a quota.
#[utoipa::path(
    put,
    path = "/quotas/{quotaId}",
    tag = "Limits",
    operation_id = "update_quota",
    params(("quotaId" = String, Path, description = "The quota")),
    request_body = UpdateQuotaDetails,
    responses((status = 200, description = "OK", body = QuotaResponse)),
    extensions(("x-hako-access" = json!("manage quotas"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdateQuotaDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut quota = Entity::<QuotaFields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    if let Some(statements) = details.statements.clone() {
        check_statements(&statements)?;
        quota.own.statements = statements;
    }
    let UpdateQuotaDetails { description, freeform_tags, defined_tags, .. } = details;
    quota.change(Change { description, freeform_tags, defined_tags })?;
    Ok(answer(quota.save(&cloud, txn).await?))
}

/// Deletes a quota.
#[utoipa::path(
    delete,
    path = "/quotas/{quotaId}",
    tag = "Limits",
    operation_id = "delete_quota",
    params(("quotaId" = String, Path, description = "The quota")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage quotas"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    let quota = Entity::<QuotaFields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    quota.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}

/// Refuses statements that mean nothing.
fn check_statements(statements: &[String]) -> Result<(), Error> {
    // Source: OCI's limit.
    if !(1..=50).contains(&statements.len()) {
        return Err(invalid("statements: a quota must have 1 to 50 statements"));
    }
    for (at, text) in statements.iter().enumerate() {
        super::statement::parse(text).map_err(|why| invalid(format!("statements[{at}]: {why}")))?;
    }
    Ok(())
}
