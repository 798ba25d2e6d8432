//! The router: from a request to a verb.

use crate::{
    actor::Attempt,
    auth::{self, Caller, Entered},
    body::{self, FieldValidation},
    call::Call,
    document, impersonate, meta,
    negotiate::negotiate,
    patch::Patch,
    path::{self, ResourcePath, Target},
    query::Query,
    respond, review,
    state::ApiState,
    subresource::{binding, connect, eviction, scale, token},
    table::Include,
    verb::{
        Part, commit, create, delete,
        delete::{DeleteOptions, Deleted, Propagation},
        get, list, update, watch, wildcard,
    },
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{Method, StatusCode};
use kube_schema::{Kind, Release};
use problem::kube::Status;
use serde_json::{Value, json};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

/// The Kubernetes API of all clusters, at `/clusters/{id}/...`.
pub fn router(state: Arc<ApiState>) -> axum::Router {
    axum::Router::new().fallback(serve).with_state(state)
}

/// What a request was, for metrics.
struct Label {
    verb: &'static str,
    resource: &'static str,
}

async fn serve(State(state): State<Arc<ApiState>>, request: Request) -> Response {
    let started = Instant::now();
    let mut label = Label { verb: "other", resource: "" };
    let response = match dispatch(&state, request, &mut label).await {
        Ok(response) => response,
        Err(status) => {
            if status.code() >= 500 {
                tracing::warn!(code = status.code(), "a request failed: {status}");
            }
            respond::failure(&status)
        }
    };
    state.metrics.answered(label.verb, label.resource, response.status().as_u16(), started.elapsed());
    response
}

async fn dispatch(state: &Arc<ApiState>, request: Request, label: &mut Label) -> Result<Response, Status> {
    let path = request.uri().path().to_owned();
    let (id, rest) = path::split_cluster(&path).ok_or_else(Status::no_such_path)?;
    let caller = auth::caller(request.extensions().get::<runtime::Peer>(), request.headers())?;
    let target = path::parse(rest).ok_or_else(Status::no_such_path)?;
    let query = Query::parse(request.uri().query())?;
    if id == "*" {
        return everywhere(state, &caller, &target, &query, label).await;
    }
    let id = id.parse().map_err(|_| auth::no_cluster())?;
    let mut entered = auth::enter(state, &id, caller).await?;
    entered.actor = impersonate::apply(entered.actor, request.headers())?;
    match target {
        Target::Document(segments) => {
            label.verb = "document";
            document::serve(state, &entered, &segments, &request)
        }
        Target::Resource(path) => resource(state, entered, path, query, request, label).await,
    }
}

async fn everywhere(
    state: &Arc<ApiState>,
    caller: &Caller,
    target: &Target,
    query: &Query,
    label: &mut Label,
) -> Result<Response, Status> {
    let (Caller::Master(_), Target::Resource(path)) = (caller, target) else { return Err(auth::no_cluster()) };
    let kind = kind_of(path, kube_schema::newest())?;
    *label = Label { verb: "watch", resource: kind.resource() };
    wildcard::wildcard(state, kind, query).await
}

fn kind_of(path: &ResourcePath, release: &Release) -> Result<&'static Kind, Status> {
    let kind = kube_schema::by_plural(&path.group, &path.version, &path.resource);
    let kind = kind.filter(|kind| release.has(kind)).ok_or_else(Status::no_such_path)?;
    let misplaced =
        if kind.namespaced { path.namespace.is_none() && path.name.is_some() } else { path.namespace.is_some() };
    if misplaced { Err(Status::no_such_path()) } else { Ok(kind) }
}

fn verb_of(method: &Method, kind: &Kind, path: &ResourcePath, query: &Query) -> Result<&'static str, Status> {
    let watching = path.watch || query.flag("watch");
    Ok(match (method.as_str(), path.name.is_some()) {
        ("GET" | "HEAD", _) if watching && path.subresource.is_none() => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", false) => "create",
        ("POST", true) if path.subresource.is_some() => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        // Upstream has no route that deletes across namespaces: a forgotten namespace must not empty the cluster.
        ("DELETE", false) if kind.namespaced && path.namespace.is_none() => return Err(Status::method_not_allowed()),
        ("DELETE", false) => "deletecollection",
        _ => return Err(Status::method_not_allowed()),
    })
}

async fn resource(
    state: &Arc<ApiState>,
    Entered { cluster, facts, actor }: Entered,
    path: ResourcePath,
    query: Query,
    request: Request,
    label: &mut Label,
) -> Result<Response, Status> {
    let kind = kind_of(&path, facts.release)?;
    let verb = verb_of(request.method(), kind, &path, &query)?;
    *label = Label { verb, resource: kind.resource() };
    let subresource = path.subresource.as_deref().unwrap_or_default();
    actor.authorize(&Attempt {
        verb,
        group: kind.group,
        resource: kind.plural,
        subresource,
        namespace: path.namespace.as_deref().unwrap_or_default(),
        name: path.name.as_deref().unwrap_or_default(),
    })?;
    let answer = negotiate(request.headers());
    if matches!(subresource, "log" | "exec" | "attach" | "portforward" | "proxy") {
        label.verb = "connect";
        return connect::connect(state, &cluster, kind, &path, &query, request).await;
    }
    let (parts, body) = request.into_parts();
    let call = Call {
        state: Arc::clone(state),
        cluster,
        facts,
        actor,
        kind,
        query,
        headers: parts.headers,
        answer: answer?,
        path: path.clone(),
    };
    match (&path.name, path.subresource.as_deref()) {
        (Some(name), Some(subresource)) => part(&call, verb, name, subresource, body).await,
        _ if !kind.verbs.contains(&verb) => Err(Status::method_not_allowed()),
        (Some(name), None) => one(&call, verb, name, body).await,
        (None, _) => many(&call, verb, body).await,
    }
}

async fn many(call: &Call, verb: &str, body: Body) -> Result<Response, Status> {
    match verb {
        "list" => list::list(call),
        "watch" => watch::watch(call, None),
        "create" => create_one(call, body).await,
        _ => delete_many(call, body).await,
    }
}

async fn one(call: &Call, verb: &str, name: &str, body: Body) -> Result<Response, Status> {
    match verb {
        "get" => get::get(call, name),
        "watch" => watch::watch(call, Some(name)),
        "update" => put(call, name, Part::Whole, body).await,
        "patch" => patch(call, name, Part::Whole, body).await,
        _ => delete_one(call, name, body).await,
    }
}

async fn part(call: &Call, verb: &str, name: &str, subresource: &str, body: Body) -> Result<Response, Status> {
    let served = kube_schema::subresource(call.kind, subresource).ok_or_else(Status::no_such_path)?;
    if !served.verbs.contains(&verb) {
        return Err(Status::method_not_allowed());
    }
    match (subresource, verb) {
        ("scale", _) => scale::serve(call, verb, name, body).await,
        ("binding", _) => bind(call, name, body).await,
        ("eviction", _) => evict(call, name, body).await,
        ("token", _) => issue(call, name, body).await,
        (_, "get") => get::get(call, name),
        (_, "update") => put(call, name, part_of(subresource)?, body).await,
        (_, "patch") => patch(call, name, part_of(subresource)?, body).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// The part of the object that a subresource changes.
fn part_of(subresource: &str) -> Result<Part, Status> {
    match subresource {
        "status" => Ok(Part::Status),
        "finalize" => Ok(Part::Finalize),
        "approval" => Ok(Part::Own("approval")),
        "ephemeralcontainers" => Ok(Part::Own("ephemeralcontainers")),
        "resize" => Ok(Part::Own("resize")),
        _ => Err(Status::no_such_path()),
    }
}

/// Reads and decodes a body of the call's kind.
async fn decoded(call: &Call, body: Body) -> Result<body::Decoded, Status> {
    let validation = FieldValidation::parse(call.query.get("fieldValidation"))?;
    let bytes = body::read(body, call.state.config.max_body_bytes).await?;
    body::decode(call.kind, body::media_type(&call.headers), &bytes, validation)
}

/// Reads and decodes a body of whatever kind.
pub(crate) async fn any(call: &Call, body: Body) -> Result<Value, Status> {
    let bytes = body::read(body, call.state.config.max_body_bytes).await?;
    body::value(None, body::media_type(&call.headers), &bytes)
}

async fn create_one(call: &Call, body: Body) -> Result<Response, Status> {
    let kind = call.kind;
    if kind.namespaced && call.path.namespace.is_none() {
        return Err(Status::method_not_allowed());
    }
    if !kind.stored() {
        let value = any(call, body).await?;
        if kind.kind == "Binding" {
            let name = meta::text(&value, "name").to_owned();
            let target = binding::Target::from_value(&value)?;
            binding::bind(&call.cluster, call.namespace(), &name, target, &call.actor, call.dry_run()?).await?;
            return Ok(respond::success(StatusCode::CREATED, None));
        }
        return review::create(call, value);
    }
    let include = Include::parse(&call.query)?;
    let body::Decoded { value, warnings } = decoded(call, body).await?;
    let made = create::create(&call.cluster, kind, call.namespace(), value, &call.actor, call.dry_run()?).await?;
    let mut response = respond::object(StatusCode::CREATED, kind, &made, call.answer, include);
    respond::warn(&mut response, &warnings);
    Ok(response)
}

async fn put(call: &Call, name: &str, part: Part, body: Body) -> Result<Response, Status> {
    let include = Include::parse(&call.query)?;
    let body::Decoded { mut value, warnings } = decoded(call, body).await?;
    let given = meta::text(&value, "name");
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    meta::map(&mut value)?.insert("name".into(), json!(name));
    meta::place(call.kind, call.namespace(), &mut value)?;
    let existed = call.cluster.get(&meta::key(call.kind, call.namespace(), name)).is_some();
    let done = update::replace(&call.cluster, call.kind, part, value, &call.actor, call.dry_run()?).await?;
    let code = if existed { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = respond::object(code, call.kind, &done, call.answer, include);
    respond::warn(&mut response, &warnings);
    Ok(response)
}

async fn patch(call: &Call, name: &str, part: Part, body: Body) -> Result<Response, Status> {
    let include = Include::parse(&call.query)?;
    let validation = FieldValidation::parse(call.query.get("fieldValidation"))?;
    let bytes = body::read(body, call.state.config.max_body_bytes).await?;
    let patch = Patch::parse(body::media_type(&call.headers), &bytes)?;
    let repeated = patch.repeated_fields(&bytes);
    let (kind, key) = (call.kind, meta::key(call.kind, call.namespace(), name));
    // The patched object is only known inside the write; what is to be warned of comes out by this.
    let warnings = Arc::new(OnceLock::new());
    let warned = Arc::clone(&warnings);
    let make = move |old: &Value| {
        let checked = body::check(kind, patch.apply(kind, old)?, repeated, validation)?;
        warned.get_or_init(|| checked.warnings);
        Ok(checked.value)
    };
    let done = update::on_current(&call.cluster, kind, part, key, call.dry_run()?, make).await?;
    let mut response = respond::object(StatusCode::OK, kind, &done, call.answer, include);
    respond::warn(&mut response, warnings.get().map_or(&[], Vec::as_slice));
    Ok(response)
}

async fn delete_options(call: &Call, body: Body) -> Result<DeleteOptions, Status> {
    let bytes = body::read(body, call.state.config.max_body_bytes).await?;
    let mut options = if bytes.iter().all(u8::is_ascii_whitespace) {
        DeleteOptions::default()
    } else {
        DeleteOptions::from_value(&body::value(None, body::media_type(&call.headers), &bytes)?)?
    };
    options.dry_run |= call.dry_run()?;
    if let Some(seconds) = call.query.number("gracePeriodSeconds")? {
        options.grace_period_seconds.get_or_insert(seconds);
    }
    if let Some(policy) = call.query.get("propagationPolicy") {
        options.propagation.get_or_insert(Propagation::parse(policy)?);
    }
    if call.query.get("orphanDependents").is_some() {
        let orphan = call.query.flag("orphanDependents");
        options.propagation.get_or_insert(if orphan { Propagation::Orphan } else { Propagation::Background });
    }
    Ok(options)
}

/// Kinds whose deletion answers the object. Source: `ReturnDeletedObject` of upstream's stores.
fn returns_deleted(kind: &Kind) -> bool {
    matches!(
        kind.resource(),
        "pods"
            | "podtemplates"
            | "services"
            | "serviceaccounts"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "resourcequotas"
    )
}

async fn delete_one(call: &Call, name: &str, body: Body) -> Result<Response, Status> {
    let options = delete_options(call, body).await?;
    let kind = call.kind;
    let done = delete::delete(&call.cluster, kind, call.namespace(), name, &options, &call.actor).await?;
    match &done {
        Deleted::Gone(object) if !returns_deleted(kind) => {
            let mut details = json!({"name": name, "kind": kind.plural, "uid": &*object.meta.uid});
            if !kind.group.is_empty() {
                details["group"] = json!(kind.group);
            }
            Ok(respond::success(StatusCode::OK, Some(details)))
        }
        done => Ok(respond::object(StatusCode::OK, kind, done.object(), call.answer, Include::default())),
    }
}

async fn delete_many(call: &Call, body: Body) -> Result<Response, Status> {
    let options = delete_options(call, body).await?;
    let filter = list::Filter::parse(call.kind, &call.query)?;
    let (revision, mut objects) = call.cluster.list(call.kind.resource(), call.scope());
    objects.retain(|object| filter.matches(object));
    let kind = call.kind;
    // In portions, so that other writers of the cluster get their turn.
    for portion in objects.chunks(50) {
        let (keys, options) = (portion.iter().map(|o| o.key.clone()).collect::<Vec<_>>(), options.clone());
        commit(&call.cluster, options.dry_run, move |txn| {
            for key in keys {
                match delete::remove(txn, kind, &key, &options, jiff::Timestamp::now()) {
                    Err(status) if status.code() != 404 => return Err(status),
                    _ => {}
                }
            }
            Ok(())
        })
        .await?;
    }
    let items: Vec<Value> = objects.iter().map(|object| respond::value_in(kind, object)).collect();
    let list = json!({
        "kind": kind.list_kind(), "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": revision.to_string()}, "items": items,
    });
    Ok(respond::encoded(StatusCode::OK, list.to_string().into(), call.answer.encoding))
}

async fn bind(call: &Call, name: &str, body: Body) -> Result<Response, Status> {
    let target = binding::Target::from_value(&any(call, body).await?)?;
    binding::bind(&call.cluster, call.namespace(), name, target, &call.actor, call.dry_run()?).await?;
    Ok(respond::success(StatusCode::CREATED, None))
}

async fn evict(call: &Call, name: &str, body: Body) -> Result<Response, Status> {
    let value = any(call, body).await?;
    let given = meta::text(&value, "name");
    if !given.is_empty() && given != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = DeleteOptions::from_value(&value["deleteOptions"])?;
    options.dry_run |= call.dry_run()?;
    eviction::evict(&call.cluster, call.namespace(), name, &options, &call.actor).await?;
    Ok(respond::success(StatusCode::CREATED, None))
}

async fn issue(call: &Call, name: &str, body: Body) -> Result<Response, Status> {
    let value = any(call, body).await?;
    let request = token::TokenRequest::from_value(&value);
    let issued = token::issue(&call.state, &call.cluster, &call.facts, (call.namespace(), name), &request)?;
    let answer = token::answer(value, call.namespace(), name, &issued);
    Ok(respond::value(StatusCode::CREATED, &answer))
}
