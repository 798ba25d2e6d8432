//! The OpenAPI document: made from the handlers' own annotations, plus what is the same for all of them.

use axum::Router;
use utoipa::{
    OpenApi,
    openapi::{
        self, Content, Ref, RefOr, Required,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

/// Path of the document. For whoever the gateway lets in: it is the same for everybody.
const PATH: &str = "/20160918/openapi.json";

/// An error, as every operation answers it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Error)]
#[allow(dead_code, reason = "only its schema is used; bodies are made by problem::oci")]
struct ErrorBody {
    /// One of OCI's codes, as `InvalidParameter`.
    code: String,
    /// What is wrong and what to do, for a person.
    message: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hakobune cloud API",
        version = "1",
        description = "Wire-compatible with Oracle Cloud's Container Engine (20180222), Container Instances (20210415), \
                       Identity and Core Services (20160918) and Audit (20190901), for what is offered."
    ),
    components(schemas(
        ErrorBody,
        SortOrder,
        crate::cluster::ClusterState,
        crate::virtual_node_pool::LifecycleState,
        crate::work_request::Status
    ))
)]
struct Head;

/// The document without paths.
pub(crate) fn head() -> openapi::OpenApi {
    let mut document = Head::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

/// Splits routes from their document, and completes it.
pub(crate) fn split<S: Clone + Send + Sync + 'static>(routes: OpenApiRouter<S>) -> (Router<S>, openapi::OpenApi) {
    let (router, mut document) = routes.split_for_parts();
    for item in document.paths.paths.values_mut() {
        let reads = [&mut item.get, &mut item.head];
        reads.into_iter().flatten().for_each(|operation| complete(operation, false));
        let writes = [&mut item.post, &mut item.put, &mut item.delete, &mut item.patch];
        writes.into_iter().flatten().for_each(|operation| complete(operation, true));
    }
    (router, document)
}

/// Serves the document itself.
pub(crate) fn serve<S: Clone + Send + Sync + 'static>(document: &openapi::OpenApi) -> Router<S> {
    let text: bytes::Bytes = document.to_pretty_json().expect("a document of texts and numbers serialises").into();
    let answer = move || std::future::ready(([(http::header::CONTENT_TYPE, "application/json")], text.clone()));
    Router::new().route(PATH, axum::routing::get(answer))
}

/// Adds what every operation has: the error form, and OCI's headers.
fn complete(operation: &mut Operation, write: bool) {
    let error = openapi::ResponseBuilder::new()
        .description("The request failed; nothing was changed")
        .content("application/json", Content::new(Some(Ref::from_schema_name("Error"))))
        .build();
    operation.responses.responses.insert("default".into(), RefOr::T(error));
    let mut header = |name: &str, description: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(64)).build();
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text));
        operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
    };
    header("opc-request-id", "Name of the request in logs; made up if it is missing");
    if write {
        header("opc-retry-token", "Creates with the same token and body happen once in 24 hours");
        header("if-match", "The etag that the resource must still have");
    }
}

/// Every list's parameters.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documents what rest::Params reads")]
pub(crate) struct PageParams {
    /// Most items of a page. Default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Token of the page, from `opc-next-page` of the one before.
    page: Option<String>,
    /// What the list is sorted by.
    #[param(rename = "sortBy")]
    sort_by: Option<String>,
    /// In which order.
    #[param(rename = "sortOrder")]
    sort_order: Option<SortOrder>,
}

/// Order of a list.
#[derive(Debug, utoipa::ToSchema)]
#[allow(dead_code, reason = "documents what rest::Params reads")]
pub(crate) enum SortOrder {
    /// Smallest first.
    #[schema(rename = "ASC")]
    Ascending,
    /// Largest first.
    #[schema(rename = "DESC")]
    Descending,
}
