//! The three ways to describe a change.

use kube_schema::Kind;
use problem::kube::Status;
use serde_json::Value;

/// A change to an object.
#[derive(Debug, Clone)]
pub enum Patch {
    /// RFC 6902.
    Json(Vec<json_patch::PatchOperation>),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own: lists merge by key.
    Strategic(Value),
}

/// Most operations that one JSON patch may have. Source: kube-apiserver's `maxJSONPatchOperations`.
const MAX_OPERATIONS: usize = 10_000;

impl Patch {
    /// Reads a patch of a media type.
    ///
    /// # Errors
    /// 415 for an unknown media type, 400 for a malformed patch.
    pub(crate) fn parse(media_type: &str, body: &[u8]) -> Result<Self, Status> {
        let malformed = |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {error}"));
        let object = || serde_json::from_slice::<Value>(body).map_err(|error| malformed(&error));
        match media_type {
            "application/json-patch+json" => {
                let operations: Vec<json_patch::PatchOperation> =
                    serde_json::from_slice(body).map_err(|error| malformed(&error))?;
                if operations.len() > MAX_OPERATIONS {
                    return Err(Status::too_large(format!(
                        "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                        operations.len()
                    )));
                }
                Ok(Self::Json(operations))
            }
            "application/merge-patch+json" => Ok(Self::Merge(object()?)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(object()?)),
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => Err(Status::unsupported_media_type(
                "server-side apply is not supported by this server yet; use client-side apply (kubectl apply without \
                 --server-side) or another patch type",
            )),
            other => Err(Status::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json \
                 (got {other:?})"
            ))),
        }
    }

    /// Keys that come twice in the text of the patch; the operations of a JSON patch are a list and have none.
    pub(crate) fn repeated_fields(&self, body: &[u8]) -> Vec<kube_schema::FieldProblem> {
        match self {
            Self::Json(_) => Vec::new(),
            Self::Merge(_) | Self::Strategic(_) => kube_schema::duplicate_fields(body),
        }
    }

    /// The object after the change.
    ///
    /// # Errors
    /// 400 or 422 if the patch does not fit the object.
    pub(crate) fn apply(self, kind: &Kind, old: &Value) -> Result<Value, Status> {
        let new = match self {
            Self::Json(operations) => {
                let mut new = old.clone();
                json_patch::patch(&mut new, &operations).map_err(|error| {
                    let why = format!("the server rejected our request due to an error in our request: {error}");
                    Status::new(422, "Invalid", why)
                })?;
                new
            }
            Self::Merge(patch) => {
                let mut new = old.clone();
                json_patch::merge(&mut new, &patch);
                new
            }
            Self::Strategic(patch) => {
                if !patch.is_object() {
                    return Err(Status::bad_request("error decoding patch: a patch must be a JSON object"));
                }
                kube_schema::strategic_merge(kind, old, &patch)
                    .map_err(|error| Status::bad_request(error.to_string()))?
            }
        };
        if !new.is_object() {
            return Err(Status::bad_request("the patched object is not a JSON object"));
        }
        for field in ["apiVersion", "kind"] {
            if new.get(field).is_some_and(|value| value != &old[field]) {
                return Err(Status::bad_request(format!(
                    "the {field} in the data ({}) does not match the expected {field} ({})",
                    new[field], old[field]
                )));
            }
        }
        kube_schema::check_types(kind, &new).map_err(|error| Status::bad_request(decode_message(kind, &error.0)))?;
        Ok(new)
    }
}

/// Upstream's sentence about an object that cannot be decoded.
pub(crate) fn decode_message(kind: &Kind, why: &str) -> String {
    let name = kind.kind;
    format!("{name} in version {:?} cannot be handled as a {name}: {why}", kind.version)
}
