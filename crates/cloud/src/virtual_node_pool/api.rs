//! `/virtualNodePools`.

use super::{
    LifecycleState, Pool, operation, store,
    wire::{CreatePoolDetails, PoolResponse, UpdatePoolDetails},
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    openapi::PageParams,
    rest::{Caller, Params, Sort, SortKey, accepted, resource},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[
    Sort { word: "TIME_CREATED", column: "created_ms" },
    Sort { word: "NAME", column: "display_name" },
    Sort { word: "ID", column: "id" },
];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, remove))
}

/// Makes a pool of virtual nodes.
#[utoipa::path(
    post,
    path = "/virtualNodePools",
    tag = "Virtual node pools",
    operation_id = "create_virtual_node_pool",
    request_body = CreatePoolDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage cluster-virtualnode-pools"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    Ok(accepted(&operation::create(&cloud, &caller, &body).await?))
}

/// Lists the pools of virtual nodes of a compartment.
#[utoipa::path(
    get,
    path = "/virtualNodePools",
    tag = "Virtual node pools",
    operation_id = "list_virtual_node_pools",
    params(PageParams, ("compartmentId" = String, Query, description = "The compartment"), ("clusterId" = Option<String>, Query, description = "Only pools of this cluster"), ("displayName" = Option<String>, Query, description = "Only pools of this name"), ("lifecycleState" = Option<Vec<LifecycleState>>, Query, description = "Only pools in these states")),
    responses((status = 200, description = "OK", body = Vec<PoolResponse>)),
    extensions(("x-hako-access" = json!("inspect cluster-virtualnode-pools"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment =
        caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::VirtualNodePools)?;
    let states: Vec<LifecycleState> = params.words("lifecycleState")?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = store::Filter { cluster_id: text("clusterId"), display_name: text("displayName"), states };
    let page = params.page(SORTS, false)?;
    let rows = store::list(&cloud.db, &compartment, &filter, &page).await?;
    let key = |pool: &Pool, column: &str| {
        let key = match column {
            "created_ms" => SortKey::Number(pool.created_ms),
            "display_name" => SortKey::Text(pool.display_name.clone()),
            _ => SortKey::Text(pool.id.as_str().into()),
        };
        (key, pool.id.as_str().to_owned())
    };
    Ok(page.answer(rows, key, PoolResponse::from))
}

/// Gets a pool of virtual nodes.
#[utoipa::path(
    get,
    path = "/virtualNodePools/{virtualNodePoolId}",
    tag = "Virtual node pools",
    operation_id = "get_virtual_node_pool",
    params(("virtualNodePoolId" = String, Path, description = "The pool")),
    responses((status = 200, description = "OK", body = PoolResponse)),
    extensions(("x-hako-access" = json!("read cluster-virtualnode-pools"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let pool = operation::find(&cloud, &caller, &id, Verb::Read).await?;
    let etag = pool.etag();
    Ok(resource(PoolResponse::from(pool), Some(&etag)))
}

/// Changes a pool of virtual nodes, its size for example.
#[utoipa::path(
    put,
    path = "/virtualNodePools/{virtualNodePoolId}",
    tag = "Virtual node pools",
    operation_id = "update_virtual_node_pool",
    params(("virtualNodePoolId" = String, Path, description = "The pool")),
    request_body = UpdatePoolDetails,
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("use cluster-virtualnode-pools"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::update(&cloud, &caller, &id, &body).await?))
}

/// Deletes a pool with its nodes; their pods are moved.
#[utoipa::path(
    delete,
    path = "/virtualNodePools/{virtualNodePoolId}",
    tag = "Virtual node pools",
    operation_id = "delete_virtual_node_pool",
    params(("virtualNodePoolId" = String, Path, description = "The pool"), ("overrideEvictionGraceDurationVnp" = Option<String>, Query, description = "How long pods get to leave its nodes, as disruption budgets let them: PT0M to PT60M, the default"), ("isForceDeletionAfterOverrideGraceDurationVnp" = Option<bool>, Query, description = "Only true: nodes go with the pods that are left then")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage cluster-virtualnode-pools"))),
)]
async fn remove(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    let drain_ms = operation::eviction_grace(&params, "overrideEvictionGraceDurationVnp")?;
    operation::require_force(&params)?;
    Ok(accepted(&operation::delete(&cloud, &caller, &id, drain_ms).await?))
}
