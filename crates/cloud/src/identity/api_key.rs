//! `/users/{userId}/apiKeys`. Source of names and shapes: OCI Identity API 20160918.

use super::{key::PublicKey, store, user::find_self_or};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    error::{invalid, not_found},
    rest::{self, Caller, resource, time},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::CompartmentId;
use http::StatusCode;
use problem::oci;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Keys of one user. Source: OCI's limit is three; more make rotation over several machines easier.
const MAX_KEYS: usize = 10;

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, upload)).routes(routes!(remove))
}

/// A registered key.
#[derive(Debug, Clone)]
pub(crate) struct ApiKey {
    pub(crate) fingerprint: String,
    pub(crate) public_key: String,
    pub(crate) created_ms: i64,
}

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateApiKeyDetails {
    /// The public key in PEM form: RSA of 2048 bits or more, P-256 or Ed25519. Signed requests need RSA.
    key: String,
}

/// A registered key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
struct ApiKeyResponse {
    /// As signatures name it: `<tenancy>/<user>/<fingerprint>`.
    key_id: String,
    key_value: String,
    fingerprint: String,
    user_id: String,
    time_created: String,
    lifecycle_state: &'static str,
}

fn response(caller: &Caller, user: &str, key: ApiKey) -> ApiKeyResponse {
    ApiKeyResponse {
        key_id: format!("{}/{user}/{}", caller.principal.tenant_id, key.fingerprint),
        key_value: key.public_key,
        fingerprint: key.fingerprint,
        user_id: user.to_owned(),
        time_created: time(key.created_ms),
        lifecycle_state: "ACTIVE",
    }
}

/// Everybody may change their own keys; others' with `manage credentials`.
async fn owner(cloud: &Cloud, caller: &Caller, user: &str, verb: Verb) -> Result<(), Error> {
    let own = user == caller.principal.user_id.as_str();
    let root = CompartmentId::root(&caller.principal.tenant_id);
    if !own && !caller.may(verb, Resource::ApiKeys, &root) {
        return Err(not_found("user", user));
    }
    find_self_or(cloud, caller, user, Verb::Inspect).await.map(drop)
}

/// Registers a user's public key.
#[utoipa::path(
    post,
    path = "/users/{userId}/apiKeys",
    tag = "Identity",
    operation_id = "upload_api_key",
    params(("userId" = String, Path, description = "The user")),
    request_body = CreateApiKeyDetails,
    responses((status = 200, description = "OK", body = ApiKeyResponse)),
    extensions(("x-hako-access" = json!("manage credentials"))),
)]
async fn upload(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(user): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    owner(&cloud, &caller, &user, Verb::Manage).await?;
    let details: CreateApiKeyDetails = rest::body(&body)?;
    let key = PublicKey::from_pem(&details.key).map_err(|error| invalid(format!("key: {error}")))?;
    let mut txn = cloud.db.begin().await?;
    store::lock_user(&mut txn, &user).await?;
    if store::keys(&mut txn, &user).await?.len() >= MAX_KEYS {
        return Err(oci::Error::limit_exceeded(format!("a user may have {MAX_KEYS} keys; delete one first")).into());
    }
    let stored = store::insert_key(&mut txn, &user, &key, cloud.now_ms()).await?;
    let stored = stored.ok_or_else(|| oci::Error::incorrect_state("the key is registered already; make a new pair"))?;
    txn.commit().await?;
    Ok(resource(response(&caller, &user, stored), None))
}

/// Lists a user's keys.
#[utoipa::path(
    get,
    path = "/users/{userId}/apiKeys",
    tag = "Identity",
    operation_id = "list_api_keys",
    params(("userId" = String, Path, description = "The user")),
    responses((status = 200, description = "OK", body = Vec<ApiKeyResponse>)),
    extensions(("x-hako-access" = json!("inspect credentials"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(user): Path<String>) -> Result<Response, Error> {
    owner(&cloud, &caller, &user, Verb::Inspect).await?;
    let mut db = cloud.db.acquire().await?;
    let keys = store::keys(&mut db, &user).await?.into_iter();
    Ok(Json(keys.map(|key| response(&caller, &user, key)).collect::<Vec<_>>()).into_response())
}

/// Forgets a user's key; tokens and signatures made by it are refused within half a minute.
#[utoipa::path(
    delete,
    path = "/users/{userId}/apiKeys/{fingerprint}",
    tag = "Identity",
    operation_id = "delete_api_key",
    params(
        ("userId" = String, Path, description = "The user"),
        ("fingerprint" = String, Path, description = "The key's fingerprint"),
    ),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage credentials"))),
)]
async fn remove(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path((user, fingerprint)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    owner(&cloud, &caller, &user, Verb::Manage).await?;
    match store::delete_key(&cloud.db, &user, &fingerprint).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(not_found("key", &fingerprint)),
    }
}
