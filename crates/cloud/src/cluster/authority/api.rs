//! What the gateway asks: which certificate to show at a cluster's host name.

use super::certificate;
use crate::{Cloud, Error, error::respond};
use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use domain::ClusterId;
use problem::oci;
use runtime::Peer;
use serde_json::json;
use std::sync::Arc;

/// `GET /internal/v1/clusters/{id}/certificate`, for the gateway only: certificate and key, as PEM.
pub(crate) async fn get_certificate(
    State(cloud): State<Arc<Cloud>>,
    peer: Option<Extension<Peer>>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let gateway = peer.is_some_and(|peer| peer.common_name.as_deref() == Some("api-gateway"));
    let missing = || respond(&oci::Error::not_found("no such path"));
    let (true, Some(names), Ok(id)) = (gateway, &cloud.config.host_names, id.parse::<ClusterId>()) else {
        return Ok(missing());
    };
    Ok(match certificate(&cloud, names, &id).await? {
        Some(leaf) => Json(json!({"certificate": leaf.certificate_pem, "key": leaf.key_pem})).into_response(),
        None => missing(),
    })
}
