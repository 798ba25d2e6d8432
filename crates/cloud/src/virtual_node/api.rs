//! `/virtualNodePools/{id}/virtualNodes`.

use super::{
    VirtualNode,
    operation::{delete, leave},
};
use crate::{
    Cloud, Error,
    access::Verb,
    error::not_found,
    openapi::PageParams,
    rest::{Caller, Params, Sort, SortKey, accepted, resource, time},
    virtual_node_pool::{LifecycleState, Pool, operation, store},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[
    Sort { word: "TIME_CREATED", column: "created_ms" },
    Sort { word: "NAME", column: "node_name" },
    Sort { word: "ID", column: "id" },
];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, remove))
}

/// A virtual node.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VirtualNode)]
struct VirtualNodeResponse {
    #[schema(value_type = String)]
    id: domain::VirtualNodeId,
    display_name: String,
    #[schema(value_type = String)]
    virtual_node_pool_id: domain::VirtualNodePoolId,
    kubernetes_version: String,
    availability_domain: String,
    fault_domain: String,
    subnet_id: String,
    nsg_ids: Vec<String>,
    private_ip: Option<String>,
    virtual_node_error: Option<String>,
    lifecycle_state: &'static str,
    lifecycle_details: Option<String>,
    time_created: String,
}

fn response(pool: &Pool, node: VirtualNode) -> VirtualNodeResponse {
    VirtualNodeResponse {
        id: node.id,
        display_name: node.node_name,
        virtual_node_pool_id: node.pool_id,
        kubernetes_version: pool.kubernetes_version.clone(),
        availability_domain: node.availability_domain,
        fault_domain: node.fault_domain,
        subnet_id: node.subnet_id,
        nsg_ids: pool.spec.nsg_ids.clone(),
        private_ip: node.private_ip,
        virtual_node_error: node.details.clone().filter(|_| node.state == LifecycleState::NeedsAttention),
        lifecycle_state: node.state.as_str(),
        lifecycle_details: node.details,
        time_created: time(node.created_ms),
    }
}

/// Lists the nodes of a pool.
#[utoipa::path(
    get,
    path = "/virtualNodePools/{virtualNodePoolId}/virtualNodes",
    tag = "Virtual node pools",
    operation_id = "list_virtual_nodes",
    params(PageParams, ("virtualNodePoolId" = String, Path, description = "The pool"), ("name" = Option<String>, Query, description = "Only nodes of this name")),
    responses((status = 200, description = "OK", body = Vec<VirtualNodeResponse>)),
    extensions(("x-hako-access" = json!("read cluster-virtualnode-pools"))),
)]
async fn list(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(pool): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    let pool = operation::find(&cloud, &caller, &pool, Verb::Read).await?;
    let page = params.page(SORTS, false)?;
    let rows = store::list_nodes(&cloud.db, &pool.id, params.get("name"), &page).await?;
    let key = |node: &VirtualNode, column: &str| {
        let key = match column {
            "created_ms" => SortKey::Number(node.created_ms),
            "node_name" => SortKey::Text(node.node_name.clone()),
            _ => SortKey::Text(node.id.as_str().into()),
        };
        (key, node.id.as_str().to_owned())
    };
    Ok(page.answer(rows, key, |node| response(&pool, node)))
}

/// Gets a node of a pool.
#[utoipa::path(
    get,
    path = "/virtualNodePools/{virtualNodePoolId}/virtualNodes/{virtualNodeId}",
    tag = "Virtual node pools",
    operation_id = "get_virtual_node",
    params(("virtualNodePoolId" = String, Path, description = "The pool"), ("virtualNodeId" = String, Path, description = "The node")),
    responses((status = 200, description = "OK", body = VirtualNodeResponse)),
    extensions(("x-hako-access" = json!("read cluster-virtualnode-pools"))),
)]
async fn read(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path((pool, id)): Path<(String, String)>,
) -> Result<Response, Error> {
    let pool = operation::find(&cloud, &caller, &pool, Verb::Read).await?;
    let node = store::get_node(&cloud.db, &pool.id, &id).await?.ok_or_else(|| not_found("virtual node", &id))?;
    Ok(resource(response(&pool, node), None))
}

/// Deletes one node of a pool, after its pods have left it: our addition, as OCI's API has it for managed nodes only.
#[utoipa::path(
    delete,
    path = "/virtualNodePools/{virtualNodePoolId}/virtualNodes/{virtualNodeId}",
    tag = "Virtual node pools",
    operation_id = "delete_virtual_node",
    params(("virtualNodePoolId" = String, Path, description = "The pool"), ("virtualNodeId" = String, Path, description = "The node"), ("isDecrementSize" = Option<bool>, Query, description = "The pool gets smaller by it; else another node takes its place"), ("overrideEvictionGraceDuration" = Option<String>, Query, description = "How long pods get to leave it, as disruption budgets let them: PT0M to PT60M, the default"), ("isForceDeletionAfterOverrideGraceDuration" = Option<bool>, Query, description = "It goes with the pods that are left then; else it stays, and the work fails")),
    responses((status = 202, description = "Accepted", headers(("opc-work-request-id" = String, description = "Follows the work")))),
    extensions(("x-hako-access" = json!("manage cluster-virtualnode-pools"))),
)]
async fn remove(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path((pool, id)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Error> {
    let leave = leave(&params)?;
    Ok(accepted(&delete(&cloud, &caller, (&pool, &id), leave).await?))
}
