//! What the gateway asks: whose key signed a token or a request, and who has a name.

use super::store;
use crate::{
    Cloud, Error,
    error::{invalid, respond},
    rest::Params,
};
use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use problem::oci;
use runtime::Peer;
use std::sync::Arc;

fn is_gateway(peer: Option<&Peer>) -> bool {
    peer.is_some_and(|peer| peer.common_name.as_deref() == Some("api-gateway"))
}

/// `GET /internal/v1/tenancies/{tenancy}/user?name=`, for the gateway only.
pub(crate) async fn get_user(
    State(cloud): State<Arc<Cloud>>,
    peer: Option<Extension<Peer>>,
    Path(tenant): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    if !is_gateway(peer.as_deref()) {
        return Ok(respond(&oci::Error::not_found("no such path")));
    }
    let tenant = tenant.parse().map_err(|error| invalid(format!("tenancy: {error}")))?;
    match store::user_by_name(&cloud.db, &tenant, params.required("name")?).await? {
        Some(user) => Ok(Json(user).into_response()),
        None => Ok(respond(&oci::Error::not_found("no such user"))),
    }
}

/// `GET /internal/v1/keys/{kid}`, for the gateway only. `kid` may be the fingerprint that OCI's clients use.
pub(crate) async fn get_key(
    State(cloud): State<Arc<Cloud>>,
    peer: Option<Extension<Peer>>,
    Path(kid): Path<String>,
) -> Result<Response, Error> {
    if !is_gateway(peer.as_deref()) {
        return Ok(respond(&oci::Error::not_found("no such path")));
    }
    match store::key_owner_all_tenants(&cloud.db, &kid).await? {
        Some(owner) => Ok(Json(owner).into_response()),
        None => Ok(respond(&oci::Error::not_found("no such key"))),
    }
}
