//! The operations of OCI that are not offered, and why: callers are told, instead of that the path is unknown.
//!
//! `offered/operations.json` is the whole truth about what is offered. The routes below, with their part of the OpenAPI
//! document, are made of it; `cargo xtask gen` makes the table in docs/ of it, and `tests/it/oci.rs` checks each line
//! against what OCI's SDK gets. What is refused is the same for everybody who is logged in: it asks for no permission.
//! A list of what is not offered is empty instead, to who may list it: programs that look through all there is go on.

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cluster,
    rest::{Caller, Params},
};
use axum::{
    Json,
    extract::{RawPathParams, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use problem::oci;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::openapi::{
    Content, HttpMethod, ObjectBuilder, PathItem, Paths, Required, ResponseBuilder,
    extensions::ExtensionsBuilder,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    schema::{ArrayBuilder, Type},
};
use utoipa_axum::router::OpenApiRouter;

/// One operation of one of OCI's services.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    /// Module of the Python SDK.
    #[allow(dead_code, reason = "for the table and the SDK's test")]
    service: String,
    /// Method of the SDK's client.
    operation: String,
    method: String,
    /// With `{names}` for what varies.
    path: String,
    /// Why it is not offered. Neither this nor `empty`: it works.
    refused: Option<String>,
    /// Why it lists nothing.
    empty: Option<String>,
    /// Who may see that, as `x-hako-access`: of the cluster in the path, or of the compartment in the query.
    access: Option<String>,
}

/// What a list says that is always empty.
#[derive(Debug, Clone, Copy)]
struct Empty {
    verb: Verb,
    resource: Resource,
}

fn operations() -> Vec<Operation> {
    serde_json::from_str(include_str!("offered/operations.json")).expect("the file is checked by a test")
}

impl Operation {
    /// `empty`, with its permission.
    fn list(&self) -> Option<Empty> {
        self.empty.as_ref()?;
        let (verb, resource) = self.access.as_deref()?.split_once(' ')?;
        Some(Empty { verb: verb.parse().ok()?, resource: resource.parse().ok()? })
    }

    /// Whether the list is of what is in a cluster.
    fn is_in_cluster(&self) -> bool {
        self.path.contains("{clusterId}")
    }

    /// Method for the router, and for the document.
    fn method(&self) -> Option<(MethodFilter, HttpMethod)> {
        Some(match self.method.as_str() {
            "GET" => (MethodFilter::GET, HttpMethod::Get),
            "POST" => (MethodFilter::POST, HttpMethod::Post),
            "PUT" => (MethodFilter::PUT, HttpMethod::Put),
            "DELETE" => (MethodFilter::DELETE, HttpMethod::Delete),
            _ => return None,
        })
    }

    /// Source of code and status: OCI's list of API errors. Its SDKs do not try again after a 501.
    fn refusal(&self, reason: &str) -> oci::Error {
        oci::Error::not_implemented(format!("{} is not offered: {reason}", self.operation))
    }

    /// Its part of the document.
    fn document(&self, status: &str, tag: &str, content: Option<Content>) -> OperationBuilder {
        let text = || ObjectBuilder::new().schema_type(Type::String).build();
        let parameter = |name: &str, place: ParameterIn, description: &str| {
            let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::True);
            parameter.description(Some(description)).schema(Some(text())).build()
        };
        let names = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<_> = names.map(|name| parameter(name, ParameterIn::Path, "As in the path")).collect();
        if self.empty.is_some() && !self.is_in_cluster() {
            parameters.push(parameter("compartmentId", ParameterIn::Query, "The compartment"));
        }
        let reason = self.refused.as_ref().or(self.empty.as_ref()).map_or("", String::as_str);
        let response = ResponseBuilder::new().description(reason);
        let response =
            content.into_iter().fold(response, |response, content| response.content("application/json", content));
        let access = self.access.as_deref().unwrap_or("any");
        OperationBuilder::new()
            .operation_id(Some(self.operation.as_str()))
            .tag(tag)
            .summary(Some(reason))
            .parameters((!parameters.is_empty()).then_some(parameters))
            .response(status, response.build())
            .extensions(Some(ExtensionsBuilder::new().add("x-hako-access", json!(access)).build()))
    }
}

/// The routes of all operations below `prefix` that do not work.
pub(crate) fn routes(prefix: &str) -> OpenApiRouter<Arc<Cloud>> {
    let all = operations().into_iter().filter_map(|operation| route(prefix, operation));
    all.fold(OpenApiRouter::new(), |router, (paths, methods)| router.routes((Vec::new(), paths, methods)))
}

fn route(prefix: &str, operation: Operation) -> Option<(Paths, MethodRouter<Arc<Cloud>>)> {
    let path = operation.path.strip_prefix(prefix)?.to_owned();
    let (filter, method) = operation.method()?;
    let (handler, document) = if let Some(reason) = &operation.refused {
        let refusal = operation.refusal(reason);
        let refuse = move |_: Caller| std::future::ready(Err::<Response, Error>(refusal.clone().into()));
        (on(filter, refuse), operation.document("501", "Not offered", None))
    } else {
        let (list, is_in_cluster) = (operation.list()?, operation.is_in_cluster());
        let answer = async move |cloud: State<Arc<Cloud>>, caller: Caller, ids: RawPathParams, params: Params| {
            let cluster = is_in_cluster.then(|| id_of_cluster(&ids));
            empty(&cloud, &caller, list, cluster, &params).await
        };
        let items = ArrayBuilder::new().items(ObjectBuilder::new().build()).build();
        (on(filter, answer), operation.document("200", "Empty lists", Some(Content::new(Some(items)))))
    };
    let mut paths = Paths::new();
    paths.paths.insert(path, PathItem::new(method, document));
    Some((paths, handler))
}

fn id_of_cluster(ids: &RawPathParams) -> String {
    let id = ids.iter().find(|(name, _)| *name == "clusterId");
    id.map(|(_, id)| id.to_owned()).unwrap_or_default()
}

/// No items, to who may list them in this cluster, or in the compartment of the query.
async fn empty(
    cloud: &Cloud,
    caller: &Caller,
    list: Empty,
    cluster: Option<String>,
    params: &Params,
) -> Result<Response, Error> {
    match cluster {
        Some(id) => cluster::operation::find(cloud, caller, &id, list.verb).await.map(drop)?,
        None => caller.compartment(params.required("compartmentId")?, list.verb, list.resource).map(drop)?,
    }
    Ok(Json(Vec::<Value>::new()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_ocis_operations_are_listed_once() {
        let all = operations();
        let of = |service: &str| all.iter().filter(|operation| operation.service == service).count();
        assert_eq!((of("container_engine"), of("container_instances")), (50, 18));
        for (number, operation) in all.iter().enumerate() {
            let same = |other: &Operation| other.method == operation.method && other.path == operation.path;
            let works = operation.refused.is_none() && operation.empty.is_none();
            let whole = operation.service.starts_with("container_");
            assert!(works || whole, "of other services only what works is listed: {operation:?}");
            assert!(operation.refused.is_none() || operation.empty.is_none(), "{operation:?}");
            assert_eq!(operation.list().is_some(), operation.access.is_some(), "{operation:?}");
            assert!(!all[..number].iter().any(same), "{operation:?}");
        }
    }

    #[test]
    fn what_does_not_work_has_a_route_and_nothing_else() {
        let routed = |prefix: &str| routes(prefix).into_openapi().paths.paths;
        let count = |prefix: &str| {
            let paths = routed(prefix).into_values();
            paths.map(|item| [item.get, item.post, item.put, item.delete].into_iter().flatten().count()).sum::<usize>()
        };
        let idle = operations().iter().filter(|one| one.refused.is_some() || one.empty.is_some()).count();
        assert_eq!((count(crate::PREFIX), count(crate::INSTANCES_PREFIX)), (idle, 0));
        assert!(routed(crate::PREFIX)["/nodePools"].get.is_some() && !routed(crate::PREFIX).contains_key("/clusters"));
    }
}
