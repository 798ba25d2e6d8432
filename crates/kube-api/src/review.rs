//! Reviews: questions in the form of objects that are never stored.

use crate::{
    actor::{Actor, Attempt},
    auth,
    call::Call,
    respond,
    rights::{self, Rights},
    subresource::token::own_audiences,
};
use axum::response::Response;
use http::StatusCode;
use problem::kube::{Cause, Status};
use serde_json::{Value, json};

/// Answers a review.
///
/// # Errors
/// 422 for an empty question, 405 for kinds that can't be created.
pub(crate) fn create(call: &Call, mut review: Value) -> Result<Response, Status> {
    if !review.is_object() {
        return Err(Status::bad_request("the review is not a JSON object"));
    }
    let spec = review["spec"].take();
    let status = match call.kind.kind {
        "SelfSubjectReview" => json!({"userInfo": call.actor.user_info()}),
        "SelfSubjectAccessReview" => access(&call.actor, &spec)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => subject_access(&spec)?,
        "SelfSubjectRulesReview" => rights::review(call.actor.rights()),
        "TokenReview" => token(call, &spec)?,
        _ => return Err(Status::method_not_allowed()),
    };
    crate::meta::set_type(call.kind, &mut review);
    if !review["metadata"].is_object() {
        review["metadata"] = json!({"creationTimestamp": null});
    }
    if call.kind.kind != "SelfSubjectReview" {
        review["spec"] = spec;
    }
    review["status"] = status;
    Ok(respond::encoded(StatusCode::CREATED, review.to_string().into(), call.answer.encoding))
}

fn access(actor: &Actor, spec: &Value) -> Result<Value, Status> {
    let resource = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    if resource.is_object() == path.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let cause = Cause::invalid("spec.resourceAttributes", resource, why);
        return Err(Status::invalid("SelfSubjectAccessReview.authorization.k8s.io", "", &[cause]));
    }
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    let allowed = if path.is_object() {
        actor.rights() == Some(Rights::Admin) || path["verb"] == "get"
    } else {
        actor.may(&Attempt {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
        })
    };
    Ok(json!({"allowed": allowed}))
}

/// What another one may do: until RBAC comes, members of `system:masters` all and others little.
fn subject_access(spec: &Value) -> Result<Value, Status> {
    let user = spec["user"].as_str().unwrap_or_default();
    let groups = spec["groups"].as_array();
    if user.is_empty() && groups.is_none_or(Vec::is_empty) {
        let cause = Cause::invalid("spec.user", &json!(""), "at least one of user or group must be specified");
        return Err(Status::invalid("SubjectAccessReview.authorization.k8s.io", "", &[cause]));
    }
    let list = groups.into_iter().flatten().filter_map(|group| group.as_str().map(str::to_owned));
    let actor = Actor::named(user, list.collect());
    access(&actor, spec)
}

fn token(call: &Call, spec: &Value) -> Result<Value, Status> {
    let text = spec["token"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let list = spec["audiences"].as_array().into_iter().flatten();
    let mut audiences: Vec<String> = list.filter_map(|a| a.as_str().map(str::to_owned)).collect();
    if audiences.is_empty() {
        audiences = own_audiences(&call.state, &call.cluster);
    }
    Ok(match auth::token_actor(&call.state, &call.cluster, &call.facts, text, &audiences) {
        Some((actor, claims)) => {
            let shared: Vec<&String> = audiences.iter().filter(|audience| claims.aud.contains(audience)).collect();
            json!({"authenticated": true, "user": actor.user_info(), "audiences": shared})
        }
        None => json!({"authenticated": false, "user": {}, "error": "invalid bearer token"}),
    })
}
