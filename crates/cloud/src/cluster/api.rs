//! `/clusters`.

use super::{Cluster, ClusterState, kubeconfig, operation, store, wire};
use crate::{
    Cloud, Error,
    error::invalid,
    rest::{self, Caller, Params, Sort, SortKey, accepted, resource},
};
use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::header;
use problem::oci;
use std::sync::Arc;

const SORTS: &[Sort] = &[
    Sort { word: "TIME_CREATED", column: "created_ms" },
    Sort { word: "NAME", column: "name" },
    Sort { word: "ID", column: "id" },
];

pub(crate) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/clusters", get(list).post(create))
        .route("/clusters/{id}", get(read).put(update).delete(remove))
        .route("/clusters/{id}/actions/pause", post(pause))
        .route("/clusters/{id}/actions/resume", post(resume))
        .route("/clusters/{id}/kubeconfig/content", post(create_kubeconfig))
}

async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    // A caller that hangs up must not leave a cluster half made until the next resync.
    let work = tokio::spawn(async move { operation::create(&cloud, &caller, &body).await });
    Ok(accepted(&work.await.map_err(|error| Error::Outside(error.to_string()))??))
}

async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?)?;
    let states: Vec<ClusterState> = params.words("lifecycleState")?;
    let filter = store::Filter { name: params.get("name").map(str::to_owned), states };
    let page = params.page(SORTS, false)?;
    let rows = store::list(&cloud.db, &compartment, &filter, &page).await?;
    let key = |cluster: &Cluster, column: &str| {
        let key = match column {
            "created_ms" => SortKey::Number(cluster.created.at_ms),
            "name" => SortKey::Text(cluster.name.clone()),
            _ => SortKey::Text(cluster.id.as_str().into()),
        };
        (key, cluster.id.as_str().to_owned())
    };
    let gateway = &cloud.config.gateway_url;
    Ok(page.answer(rows, key, |cluster| wire::ClusterResponse::new(cluster, gateway)))
}

async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let cluster = operation::find(&cloud, &caller, &id).await?;
    let etag = cluster.etag();
    Ok(resource(wire::ClusterResponse::new(cluster, &cloud.config.gateway_url), Some(&etag)))
}

async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::update(&cloud, &caller, &id, &body).await?))
}

async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::delete(&cloud, &caller, &id).await?))
}

/// Our addition.
async fn pause(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::pause(&cloud, &caller, &id, true).await?))
}

/// Our addition.
async fn resume(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::pause(&cloud, &caller, &id, false).await?))
}

async fn create_kubeconfig(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: wire::CreateKubeconfigDetails =
        if body.is_empty() { wire::CreateKubeconfigDetails::default() } else { rest::body(&body)? };
    if details.token_version.as_deref().is_some_and(|version| version != "2.0.0") {
        return Err(invalid("tokenVersion must be 2.0.0"));
    }
    let cluster = operation::find(&cloud, &caller, &id).await?;
    if matches!(cluster.state, ClusterState::Deleting | ClusterState::Deleted | ClusterState::Failed) {
        let message = format!("the cluster is {}: it has no endpoint", cluster.state);
        return Err(oci::Error::incorrect_state(message).into());
    }
    let yaml = kubeconfig::content(&cluster, &cloud.config.gateway_url, &cloud.config.gateway_ca_pem);
    Ok(([(header::CONTENT_TYPE, "application/x-yaml")], yaml).into_response())
}
