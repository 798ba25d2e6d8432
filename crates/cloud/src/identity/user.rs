//! `/users`. Source of names and shapes: OCI Identity API 20160918.

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster::wire::wire,
    entity::{self, Change, Entity, Kind, store::Table},
    error::{invalid, not_found},
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
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Row, postgres::PgRow};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, remove))
        .routes(routes!(update_state))
}

/// What only users have.
#[derive(Debug, Clone)]
pub(crate) struct UserFields {
    pub(crate) email: Option<String>,
    /// A blocked user's keys are good for nothing.
    pub(crate) active: bool,
}

/// With what a user may prove who it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserCapabilities)]
struct Capabilities {
    can_use_api_keys: bool,
    can_use_console_password: bool,
    can_use_auth_tokens: bool,
    can_use_smtp_credentials: bool,
    can_use_customer_secret_keys: bool,
}

impl Capabilities {
    const OURS: Self = Self {
        can_use_api_keys: true,
        can_use_console_password: false,
        can_use_auth_tokens: false,
        can_use_smtp_credentials: false,
        can_use_customer_secret_keys: false,
    };
}

impl Kind for UserFields {
    const RESOURCE: Resource = Resource::Users;
    const NOUN: &'static str = "user";
    const STATES: &'static [&'static str] = &["ACTIVE", "INACTIVE"];
    const TABLE: Table = Table {
        name: "users",
        own: &[("email", "text"), ("lifecycle_state", "text")],
        in_compartments: false,
        unique: "users_name",
    };

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { email: row.try_get("email")?, active: row.try_get::<&str, _>("lifecycle_state")? == "ACTIVE" })
    }

    fn write(&self) -> serde_json::Value {
        json!({"email": self.email, "lifecycle_state": if self.active { "ACTIVE" } else { "INACTIVE" }})
    }
}

/// What a new user should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateUserDetails {
    /// The tenancy
    compartment_id: String,
    name: String,
    description: String,
    email: Option<String>,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    UpdateUserDetails {
        description: String,
        email: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
struct UserResponse {
    id: String,
    compartment_id: String,
    name: String,
    description: String,
    email: Option<String>,
    email_verified: bool,
    is_mfa_activated: bool,
    capabilities: Capabilities,
    /// 1 if the user is blocked.
    inactive_status: Option<i64>,
    time_created: String,
    lifecycle_state: &'static str,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<UserFields>> for UserResponse {
    fn from(user: Entity<UserFields>) -> Self {
        Self {
            id: user.id,
            compartment_id: user.compartment_id.as_str().to_owned(),
            name: user.name,
            description: user.description,
            email: user.own.email,
            email_verified: false,
            is_mfa_activated: false,
            capabilities: Capabilities::OURS,
            inactive_status: (!user.own.active).then_some(1),
            lifecycle_state: if user.own.active { "ACTIVE" } else { "INACTIVE" },
            time_created: time(user.created_ms),
            freeform_tags: user.freeform_tags,
            defined_tags: user.defined_tags,
        }
    }
}

fn answer(user: Entity<UserFields>) -> Response {
    let etag = user.etag();
    resource(UserResponse::from(user), Some(&etag))
}

/// Makes a user.
#[utoipa::path(
    post,
    path = "/users",
    tag = "Identity",
    operation_id = "create_user",
    request_body = CreateUserDetails,
    responses((status = 200, description = "OK", body = UserResponse)),
    extensions(("x-hako-access" = json!("manage users"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreateUserDetails = rest::body(&body)?;
    let compartment = super::tenancy_of(&caller, &details.compartment_id, Resource::Users)?;
    let CreateUserDetails { name, description, email, freeform_tags, defined_tags, .. } = details;
    let email = email.map(check_email).transpose()?;
    let change = Change { description: Some(description), freeform_tags, defined_tags };
    let id = domain::UserId::generate();
    let user =
        Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, UserFields { email, active: true })?;
    Ok(answer(user.create(&cloud, &caller, &body).await?))
}

/// Lists the users of a tenancy.
#[utoipa::path(
    get,
    path = "/users",
    tag = "Identity",
    operation_id = "list_users",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The tenancy"),
        ("name" = Option<String>, Query, description = "Only users of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only users in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<UserResponse>)),
    extensions(("x-hako-access" = json!("inspect users"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    Entity::list(&cloud, &caller, &params, &[], UserResponse::from).await
}

/// Gets a user.
#[utoipa::path(
    get,
    path = "/users/{userId}",
    tag = "Identity",
    operation_id = "get_user",
    params(("userId" = String, Path, description = "The user")),
    responses((status = 200, description = "OK", body = UserResponse)),
    extensions(("x-hako-access" = json!("inspect users"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(find_self_or(&cloud, &caller, &id, Verb::Inspect).await?))
}

/// Changes a user.
#[utoipa::path(
    put,
    path = "/users/{userId}",
    tag = "Identity",
    operation_id = "update_user",
    params(("userId" = String, Path, description = "The user")),
    request_body = UpdateUserDetails,
    responses((status = 200, description = "OK", body = UserResponse)),
    extensions(("x-hako-access" = json!("use users"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdateUserDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut user = Entity::<UserFields>::lock(&mut txn, &caller, &id, Verb::Use).await?;
    if let Some(email) = details.email.clone() {
        user.own.email = Some(check_email(email)?);
    }
    let UpdateUserDetails { description, freeform_tags, defined_tags, .. } = details;
    user.change(Change { description, freeform_tags, defined_tags })?;
    Ok(answer(user.save(&cloud, txn).await?))
}

/// Deletes a user.
#[utoipa::path(
    delete,
    path = "/users/{userId}",
    tag = "Identity",
    operation_id = "delete_user",
    params(("userId" = String, Path, description = "The user")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage users"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    let user = Entity::<UserFields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    if user.id == caller.principal.user_id.as_str() {
        return Err(invalid("nobody can delete themselves; ask another administrator"));
    }
    user.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}

wire! {
    /// Whether a user may log in.
    UpdateStateDetails {
        blocked: bool,
    }
}

/// Blocks a user, or lets it in again.
#[utoipa::path(
    put,
    path = "/users/{userId}/state",
    tag = "Identity",
    operation_id = "update_user_state",
    params(("userId" = String, Path, description = "The user")),
    request_body = UpdateStateDetails,
    responses((status = 200, description = "OK", body = UserResponse)),
    extensions(("x-hako-access" = json!("use users"))),
)]
async fn update_state(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdateStateDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut user = Entity::<UserFields>::lock(&mut txn, &caller, &id, Verb::Use).await?;
    if user.id == caller.principal.user_id.as_str() {
        return Err(invalid("nobody can block themselves; ask another administrator"));
    }
    user.own.active = !details.blocked.unwrap_or(!user.own.active);
    Ok(answer(user.save(&cloud, txn).await?))
}

/// A user that the caller may see: everybody may see themselves.
pub(super) async fn find_self_or(
    cloud: &Cloud,
    caller: &Caller,
    id: &str,
    verb: Verb,
) -> Result<Entity<UserFields>, Error> {
    if id == caller.principal.user_id.as_str() {
        let found = entity::store::get::<UserFields>(&cloud.db, &caller.principal.tenant_id, id).await?;
        let found = found.ok_or_else(|| not_found("user", id))?;
        caller.about(&found.compartment_id, id, &found.name);
        return Ok(found);
    }
    Entity::find(cloud, caller, id, verb).await
}

fn check_email(email: String) -> Result<String, Error> {
    let fits = (3..=254).contains(&email.len()) && email.contains('@') && !email.chars().any(char::is_whitespace);
    if fits { Ok(email) } else { Err(invalid("email must be a mail address")) }
}
