//! What the gateway asks: whose key signed a token.

use super::store;
use crate::{Cloud, Error, error::respond};
use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use problem::oci;
use runtime::Peer;
use std::sync::Arc;

/// `GET /internal/v1/keys/{kid}`, for the gateway only.
pub(crate) async fn get_key(
    State(cloud): State<Arc<Cloud>>,
    peer: Option<Extension<Peer>>,
    Path(kid): Path<String>,
) -> Result<Response, Error> {
    let gateway = peer.is_some_and(|peer| peer.common_name.as_deref() == Some("api-gateway"));
    if !gateway {
        return Ok(respond(&oci::Error::not_found("no such path")));
    }
    match store::key_owner_all_tenants(&cloud.db, &kid).await? {
        Some(owner) => Ok(Json(owner).into_response()),
        None => Ok(respond(&oci::Error::not_found("no such key"))),
    }
}
