//! Those of OCI's operations that this installation does not offer, in one table: each answers in OCI's form, after
//! authentication and policy, what is not offered and what to use instead. What can be answered truthfully is: lists are
//! empty, and what has an id does not exist.

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster,
    error::{invalid, not_found},
    rest::{self, Caller, Params, resource},
};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// How an operation is answered.
enum Answer {
    /// Refused, to who may do this with the cluster in the path. The text says what is not offered, and what to use.
    RefuseInCluster(&'static str),
    /// Refused, to who may make this in the compartment in the body.
    RefuseInCompartment(Resource, &'static str),
    /// There is nothing of that noun: 404.
    Missing(&'static str),
    /// An empty list, to who may look into the cluster in the path.
    NoneInCluster,
    /// An empty list, to who may list this in the compartment in the query.
    NoneInCompartment(Resource),
    /// Always the same, to who may look into the cluster in the path.
    Fixed(fn() -> Value),
}

/// What is read of a request for a pool of managed nodes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreateNodePoolDetails)]
struct NodePoolDetails {
    compartment_id: String,
}

/// One request to one of them.
struct Ask {
    cloud: Arc<Cloud>,
    caller: Caller,
    ids: RawPathParams,
    params: Params,
    body: Bytes,
}

impl FromRequest<Arc<Cloud>> for Ask {
    type Rejection = Response;

    async fn from_request(request: Request, cloud: &Arc<Cloud>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, cloud).await?;
        let ids = RawPathParams::from_request_parts(&mut parts, cloud).await.map_err(IntoResponse::into_response)?;
        let params = Params::from_request_parts(&mut parts, cloud).await?;
        let body = Bytes::from_request(Request::from_parts(parts, body), cloud).await;
        let body = body.map_err(IntoResponse::into_response)?;
        Ok(Self { cloud: Arc::clone(cloud), caller, ids, params, body })
    }
}

impl Ask {
    async fn answer(&self, answer: Answer) -> Result<Response, Error> {
        match answer {
            Answer::RefuseInCluster(why) => {
                self.cluster(Verb::Manage).await?;
                Err(invalid(why))
            }
            Answer::RefuseInCompartment(kind, why) => {
                let body: NodePoolDetails = rest::body(&self.body)?;
                self.caller.compartment_for_new(&body.compartment_id, kind)?;
                Err(invalid(why))
            }
            Answer::Missing(noun) => {
                // Nobody may know of what is not there: `any` of the document. The most specific id is named.
                let id = ["nodeId", "nodePoolId", "addonName", "workloadMappingId", "clusterId"];
                Err(not_found(noun, id.iter().find_map(|name| self.id(name)).unwrap_or_default()))
            }
            Answer::NoneInCluster => self.cluster(Verb::Read).await.map(|()| Json(json!([])).into_response()),
            Answer::NoneInCompartment(kind) => {
                self.caller.compartment(self.params.required("compartmentId")?, Verb::Inspect, kind)?;
                Ok(Json(json!([])).into_response())
            }
            Answer::Fixed(value) => self.cluster(Verb::Read).await.map(|()| resource(value(), None)),
        }
    }

    fn id(&self, name: &str) -> Option<&str> {
        self.ids.iter().find(|(known, _)| *known == name).map(|(_, id)| id)
    }

    async fn cluster(&self, verb: Verb) -> Result<(), Error> {
        let id = self.id("clusterId").unwrap_or_default();
        cluster::operation::find(&self.cloud, &self.caller, id, verb).await.map(drop)
    }
}

/// Makes a handler and its documentation of each row:
/// `summary, name: method path [parameters] (body) access => answer`.
macro_rules! operations {
    ($($summary:tt $name:ident: $method:tt $path:tt [$($place:tt $param:tt),*] $(($body:ty))? $access:literal => $answer:expr;)*) => {
        $(
            #[doc = $summary]
            #[utoipa::path(
                $method,
                path = $path,
                tag = "Not offered",
                params($(($param = String, $place, description = "As in the path or query")),*),
                $(request_body = $body,)?
                responses((status = 200, description = "What there is of it", body = Value)),
                extensions(("x-hako-access" = json!($access))),
            )]
            async fn $name(ask: Ask) -> Result<Response, Error> {
                ask.answer($answer).await
            }
        )*

        /// The routes of all of them.
        pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
            OpenApiRouter::new()$(.routes(routes!($name)))*
        }
    };
}

const NO_NODE_POOLS: &str = "pools of managed nodes are not offered, as there are no machines to manage; use virtual \
     node pools (CreateVirtualNodePool; hako node-pool create)";
const NO_MACHINE: &str = "the nodes of a cluster are virtual: there is no machine to reboot and no boot volume to \
     replace; delete a pod to run it anew";
const NO_ADDONS: &str = "add-ons are not offered: what a cluster needs is part of it; install more by kubectl or helm";
const NO_MAPPINGS: &str = "workload mappings are not offered; use one cluster per compartment";
const NO_DECOMMISSION: &str = "clusters have no endpoint besides the VCN-native one, so there is none to decommission";
const NATIVE: &str = "all clusters are VCN-native from the start: there is nothing to migrate";
const ONE_ENDPOINT: &str = "the endpoint of a cluster is the installation's gateway and cannot be configured by \
     cluster; say who may use the cluster by policies";

operations! {
    "Refused: all clusters are VCN-native." cluster_migrate_to_native_vcn:
        post "/clusters/{clusterId}/actions/migrateToNativeVcn" [Path "clusterId"]
        "manage clusters" => Answer::RefuseInCluster(NATIVE);
    "Gets that no migration was started." get_cluster_migrate_to_native_vcn_status:
        get "/clusters/{clusterId}/migrateToNativeVcnStatus" [Path "clusterId"]
        "read clusters" => Answer::Fixed(|| json!({"state": "NOT_STARTED"}));
    "Refused: there is no other endpoint." start_public_api_endpoint_decommission:
        post "/clusters/{clusterId}/actions/startPublicApiEndpointDecommission" [Path "clusterId"]
        "manage clusters" => Answer::RefuseInCluster(NO_DECOMMISSION);
    "Refused: there is no other endpoint." rollback_public_api_endpoint_decommission:
        post "/clusters/{clusterId}/actions/rollbackPublicApiEndpointDecommission" [Path "clusterId"]
        "manage clusters" => Answer::RefuseInCluster(NO_DECOMMISSION);
    "Refused: there is no other endpoint." extend_endpoint_decommission_rollback_deadline:
        post "/clusters/{clusterId}/actions/extendEndpointDecommissionRollbackDeadline" [Path "clusterId"]
        "manage clusters" => Answer::RefuseInCluster(NO_DECOMMISSION);
    "There is no decommission." get_public_api_endpoint_decommission_status:
        get "/clusters/{clusterId}/publicApiEndpointDecommissionStatus" [Path "clusterId"]
        "any" => Answer::Missing("endpoint decommission of cluster");
    "Refused: endpoints are the gateway's." update_cluster_endpoint_config:
        post "/clusters/{clusterId}/actions/updateEndpointConfig" [Path "clusterId"]
        "manage clusters" => Answer::RefuseInCluster(ONE_ENDPOINT);
    "Refused: use virtual node pools." create_node_pool:
        post "/nodePools" [] (NodePoolDetails) "manage cluster-node-pools" => Answer::RefuseInCompartment(Resource::NodePools, NO_NODE_POOLS);
    "Lists no pools of managed nodes." list_node_pools:
        get "/nodePools" [Query "compartmentId"]
        "inspect cluster-node-pools" => Answer::NoneInCompartment(Resource::NodePools);
    "There are no pools of managed nodes." get_node_pool:
        get "/nodePools/{nodePoolId}" [Path "nodePoolId"] "any" => Answer::Missing("node pool");
    "There are no pools of managed nodes." update_node_pool:
        put "/nodePools/{nodePoolId}" [Path "nodePoolId"] "any" => Answer::Missing("node pool");
    "There are no pools of managed nodes." delete_node_pool:
        delete "/nodePools/{nodePoolId}" [Path "nodePoolId"] "any" => Answer::Missing("node pool");
    "There are no managed nodes." delete_node:
        delete "/nodePools/{nodePoolId}/node/{nodeId}" [Path "nodePoolId", Path "nodeId"]
        "any" => Answer::Missing("node");
    "Refused: nodes have no machine." reboot_cluster_node:
        post "/clusters/{clusterId}/nodes/{nodeId}/actions/reboot" [Path "clusterId", Path "nodeId"]
        "manage clusters" => Answer::RefuseInCluster(NO_MACHINE);
    "Refused: nodes have no machine." replace_boot_volume_cluster_node:
        post "/clusters/{clusterId}/nodes/{nodeId}/actions/replaceBootVolume" [Path "clusterId", Path "nodeId"]
        "manage clusters" => Answer::RefuseInCluster(NO_MACHINE);
    "Refused: add-ons are not offered." install_addon:
        post "/clusters/{clusterId}/addons" [Path "clusterId"] "manage clusters" => Answer::RefuseInCluster(NO_ADDONS);
    "Lists no add-ons." list_addons:
        get "/clusters/{clusterId}/addons" [Path "clusterId"] "read clusters" => Answer::NoneInCluster;
    "There are no add-ons." get_addon:
        get "/clusters/{clusterId}/addons/{addonName}" [Path "clusterId", Path "addonName"]
        "any" => Answer::Missing("add-on");
    "There are no add-ons." update_addon:
        put "/clusters/{clusterId}/addons/{addonName}" [Path "clusterId", Path "addonName"]
        "any" => Answer::Missing("add-on");
    "There are no add-ons." disable_addon:
        delete "/clusters/{clusterId}/addons/{addonName}" [Path "clusterId", Path "addonName"]
        "any" => Answer::Missing("add-on");
    "Refused: workload mappings are not offered." create_workload_mapping:
        post "/clusters/{clusterId}/workloadMappings" [Path "clusterId"]
        "manage clusters" => Answer::RefuseInCluster(NO_MAPPINGS);
    "Lists no workload mappings." list_workload_mappings:
        get "/clusters/{clusterId}/workloadMappings" [Path "clusterId"] "read clusters" => Answer::NoneInCluster;
    "There are no workload mappings." get_workload_mapping:
        get "/clusters/{clusterId}/workloadMappings/{workloadMappingId}" [Path "clusterId", Path "workloadMappingId"]
        "any" => Answer::Missing("workload mapping");
    "There are no workload mappings." update_workload_mapping:
        put "/clusters/{clusterId}/workloadMappings/{workloadMappingId}" [Path "clusterId", Path "workloadMappingId"]
        "any" => Answer::Missing("workload mapping");
    "There are no workload mappings." delete_workload_mapping:
        delete "/clusters/{clusterId}/workloadMappings/{workloadMappingId}" [Path "clusterId", Path "workloadMappingId"]
        "any" => Answer::Missing("workload mapping");
}
