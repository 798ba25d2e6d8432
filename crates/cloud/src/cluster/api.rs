//! `/clusters`.

use super::{
    Cluster, ClusterState, authority,
    kubeconfig::{self, Endpoint, TokenCommand},
    operation, rotation, store, wire,
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    error::invalid,
    openapi::PageParams,
    rest::{self, Caller, Params, Sort, SortKey, accepted, resource},
};
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::header;
use problem::oci;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[
    Sort { word: "TIME_CREATED", column: "created_ms" },
    Sort { word: "NAME", column: "name" },
    Sort { word: "ID", column: "id" },
];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(start_rotation))
        .routes(routes!(complete_rotation))
        .routes(routes!(rotation_status))
        .routes(routes!(create_kubeconfig))
}

/// Makes a cluster.
#[utoipa::path(
    post,
    path = "/clusters",
    tag = "Clusters",
    operation_id = "create_cluster",
    request_body = wire::CreateClusterDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    // A caller that hangs up must not leave a cluster half made until the next resync.
    let work = tokio::spawn(async move { operation::create(&cloud, &caller, &body).await });
    Ok(accepted(&work.await.map_err(|error| Error::Outside(error.to_string()))??))
}

/// Lists the clusters of a compartment.
#[utoipa::path(
    get,
    path = "/clusters",
    tag = "Clusters",
    operation_id = "list_clusters",
    params(PageParams, ("compartmentId" = String, Query, description = "The compartment"), ("name" = Option<String>, Query, description = "Only clusters of this name"), ("lifecycleState" = Option<Vec<ClusterState>>, Query, description = "Only clusters in these states")),
    responses((status = 200, description = "OK", body = Vec<wire::ClusterResponse>)),
    extensions(("x-hako-access" = json!("inspect clusters"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Clusters)?;
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

/// Gets a cluster.
#[utoipa::path(
    get,
    path = "/clusters/{clusterId}",
    tag = "Clusters",
    operation_id = "get_cluster",
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 200, description = "OK", body = wire::ClusterResponse)),
    extensions(("x-hako-access" = json!("read clusters"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let cluster = operation::find(&cloud, &caller, &id, Verb::Read).await?;
    let etag = cluster.etag();
    Ok(resource(wire::ClusterResponse::new(cluster, &cloud.config.gateway_url), Some(&etag)))
}

/// Changes a cluster.
#[utoipa::path(
    put,
    path = "/clusters/{clusterId}",
    tag = "Clusters",
    operation_id = "update_cluster",
    params(("clusterId" = String, Path, description = "The cluster")),
    request_body = wire::UpdateClusterDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::update(&cloud, &caller, &id, &body).await?))
}

/// Deletes a cluster, with all that is in it.
#[utoipa::path(
    delete,
    path = "/clusters/{clusterId}",
    tag = "Clusters",
    operation_id = "delete_cluster",
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::delete(&cloud, &caller, &id).await?))
}

/// Pauses a cluster: it keeps its objects, runs no pods and costs nothing. Our addition.
#[utoipa::path(
    post,
    path = "/clusters/{clusterId}/actions/pause",
    tag = "Clusters",
    operation_id = "pause_cluster",
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn pause(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::pause(&cloud, &caller, &id, true).await?))
}

/// Resumes a paused cluster. Our addition.
#[utoipa::path(
    post,
    path = "/clusters/{clusterId}/actions/resume",
    tag = "Clusters",
    operation_id = "resume_cluster",
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn resume(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::pause(&cloud, &caller, &id, false).await?))
}

/// Begins to replace a cluster's credentials; old and new ones hold until it is completed.
#[utoipa::path(
    post,
    path = "/clusters/{clusterId}/actions/startCredentialRotation",
    tag = "Clusters",
    operation_id = "start_credential_rotation",
    params(("clusterId" = String, Path, description = "The cluster")),
    request_body = wire::StartCredentialRotationDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn start_rotation(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&rotation::start(&cloud, &caller, &id, &body).await?))
}

/// Ends a cluster's old credentials.
#[utoipa::path(
    post,
    path = "/clusters/{clusterId}/actions/completeCredentialRotation",
    tag = "Clusters",
    operation_id = "complete_credential_rotation",
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage clusters"))),
)]
async fn complete_rotation(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    Ok(accepted(&rotation::complete(&cloud, &caller, &id).await?))
}

/// Gets how far the replacement of a cluster's credentials is.
#[utoipa::path(
    get,
    path = "/clusters/{clusterId}/credentialRotationStatus",
    tag = "Clusters",
    operation_id = "get_credential_rotation_status",
    params(("clusterId" = String, Path, description = "The cluster")),
    responses((status = 200, description = "OK", body = wire::CredentialRotationStatus)),
    extensions(("x-hako-access" = json!("read clusters"))),
)]
async fn rotation_status(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let cluster = operation::find(&cloud, &caller, &id, Verb::Read).await?;
    Ok(resource(wire::CredentialRotationStatus::from(&cluster), Some(&cluster.etag())))
}

/// Makes a kubeconfig for a cluster.
#[utoipa::path(
    post,
    path = "/clusters/{clusterId}/kubeconfig/content",
    tag = "Clusters",
    operation_id = "create_kubeconfig",
    params(("clusterId" = String, Path, description = "The cluster")),
    request_body = wire::CreateKubeconfigDetails,
    responses((status = 200, description = "A kubeconfig", body = String, content_type = "application/x-yaml")),
    extensions(("x-hako-access" = json!("use clusters"))),
)]
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
    let cluster = operation::find(&cloud, &caller, &id, Verb::Use).await?;
    if matches!(cluster.state, ClusterState::Deleting | ClusterState::Deleted | ClusterState::Failed) {
        let message = format!("the cluster is {}: it has no endpoint", cluster.state);
        return Err(oci::Error::incorrect_state(message).into());
    }
    let config = &cloud.config;
    let endpoint = details.endpoint.unwrap_or(Endpoint::Legacy);
    let server = kubeconfig::server(&cluster, endpoint, config)?;
    let ca = match (endpoint, &config.host_names) {
        (Endpoint::Hostname, Some(names)) => authority::bundle(&cloud, names, &cluster).await?,
        _ => config.gateway_ca_pem.clone(),
    };
    let command = details.token_command.unwrap_or(TokenCommand::Oci);
    let yaml = kubeconfig::content(&cluster, &server, &ca, command, &config.region);
    Ok(([(header::CONTENT_TYPE, "application/x-yaml")], yaml).into_response())
}
