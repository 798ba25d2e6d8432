//! Who calls, what it may do, and the headers that change what a call does.

use crate::{
    Cloud, Error,
    access::{Grants, Resource, Verb},
    error::{invalid, not_found, respond},
};
use axum::{extract::FromRequestParts, response::Response};
use domain::{CompartmentId, PRINCIPAL_HEADER, Principal};
use http::{HeaderMap, HeaderName, header, request::Parts};
use parking_lot::Mutex;
use problem::oci;
use runtime::Peer;
use std::sync::Arc;

/// The only peer whose word on the principal counts.
const GATEWAY: &str = "api-gateway";
const RETRY_TOKEN: HeaderName = HeaderName::from_static("opc-retry-token");
/// Source: `opc-retry-token` has at most 64 characters in OCI; SDKs send 30 or so.
const MAX_TOKEN: usize = 255;
/// Ours have some 20 characters.
const MAX_ETAG: usize = 255;

/// What a request was about, for the audit log: noted where it becomes known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub(crate) compartment: Option<CompartmentId>,
    pub(crate) resource_id: Option<String>,
    pub(crate) resource_name: Option<String>,
}

/// Where handlers note the [`Subject`] of their request.
pub(crate) type Trail = Arc<Mutex<Subject>>;

/// A resource that lies in a compartment.
pub(crate) trait Owned {
    /// Its type in policies.
    const RESOURCE: Resource;
    /// What people call it.
    const NOUN: &'static str;

    /// Where it lies.
    fn compartment(&self) -> &CompartmentId;

    /// Its display name, for the audit log.
    fn name(&self) -> &str;
}

/// Who calls, and the headers that change what a call does.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) grants: Arc<Grants>,
    pub(crate) retry_token: Option<String>,
    pub(crate) if_match: Option<String>,
    trail: Trail,
}

impl Caller {
    /// True if the caller may do this in the compartment.
    pub(crate) fn may(&self, verb: Verb, resource: Resource, compartment: &CompartmentId) -> bool {
        self.grants.allow(&self.principal.groups, verb, resource, compartment)
    }

    /// Refuses what no policy allows, in the words for what does not exist.
    pub(crate) fn allow(&self, verb: Verb, resource: Resource, compartment: &CompartmentId) -> Result<(), Error> {
        if !self.may(verb, resource, compartment) {
            return Err(not_found("compartment", compartment.as_str()));
        }
        self.trail.lock().compartment = Some(compartment.clone());
        Ok(())
    }

    /// The compartment that a request names, if the caller may do this in it.
    pub(crate) fn compartment(&self, id: &str, verb: Verb, resource: Resource) -> Result<CompartmentId, Error> {
        let compartment = CompartmentId::parse_any(id).map_err(|error| invalid(format!("compartmentId: {error}")))?;
        self.allow(verb, resource, &compartment).map(|()| compartment)
    }

    /// The compartment that a new or moved resource should lie in. Refuses deleted ones.
    pub(crate) fn compartment_for_new(&self, id: &str, resource: Resource) -> Result<CompartmentId, Error> {
        let compartment = self.compartment(id, Verb::Manage, resource)?;
        if self.grants.is_active(&compartment) {
            return Ok(compartment);
        }
        Err(oci::Error::incorrect_state("the compartment is deleted; nothing can be made in it").into())
    }

    /// What was found under an id, if the caller may do this with it; otherwise the same 404 as if nothing was found.
    pub(crate) fn admit<T: Owned>(&self, verb: Verb, found: Option<T>, id: &str) -> Result<T, Error> {
        let found = found.filter(|found| self.may(verb, T::RESOURCE, found.compartment()));
        let found = found.ok_or_else(|| not_found(T::NOUN, id))?;
        self.about(found.compartment(), id, found.name());
        Ok(found)
    }

    /// Notes for the audit log what the request is about.
    pub(crate) fn about(&self, compartment: &CompartmentId, id: &str, name: &str) {
        *self.trail.lock() = Subject {
            compartment: Some(compartment.clone()),
            resource_id: Some(id.to_owned()),
            resource_name: Some(name.to_owned()),
        };
    }

    /// Refuses if the caller knows another version.
    pub(crate) fn check_etag(&self, etag: &str) -> Result<(), Error> {
        match &self.if_match {
            Some(known) if known != etag && known != "*" => {
                Err(oci::Error::no_etag_match("if-match names another version; get the resource again").into())
            }
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Arc<Cloud>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, cloud: &Arc<Cloud>) -> Result<Self, Response> {
        let principal = principal(parts).map_err(|why| respond(&oci::Error::not_authenticated(why)))?;
        let read = |name, limit| text(&parts.headers, name, limit).map_err(|refusal| respond(&refusal));
        let if_match = read(&header::IF_MATCH, MAX_ETAG)?.map(|tag| tag.trim_matches('"').to_owned());
        let retry_token = read(&RETRY_TOKEN, MAX_TOKEN)?;
        let trail = parts.extensions.get::<Trail>().cloned().unwrap_or_default();
        // Before any transaction: what needs a connection here must not wait while it holds one.
        let grants =
            cloud.policies.grants(&principal.tenant_id).await.map_err(axum::response::IntoResponse::into_response)?;
        Ok(Self { principal, grants, retry_token, if_match, trail })
    }
}

/// Whom the gateway vouches for; the reason if nobody.
pub(crate) fn principal(parts: &Parts) -> Result<Principal, &'static str> {
    let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.common_name.as_deref());
    if peer != Some(GATEWAY) {
        return Err("requests are taken from the gateway only");
    }
    let header = parts.headers.get(PRINCIPAL_HEADER).and_then(|value| value.to_str().ok());
    let principal = Principal::from_header(header.ok_or("the request names no caller")?)
        .map_err(|_| "the request names no readable caller")?;
    if principal.cluster_id.is_some() {
        return Err("the token is good for one cluster only, not for the cloud API");
    }
    Ok(principal)
}

/// A header's text. One that can't be kept must not be ignored: the request would then do what it asks not to do.
fn text(headers: &HeaderMap, name: &HeaderName, limit: usize) -> Result<Option<String>, oci::Error> {
    let Some(value) = headers.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() <= limit);
    let refuse = || oci::Error::invalid_parameter(format!("{name} must have at most {limit} printable characters"));
    text.map(|text| Some(text.to_owned())).ok_or_else(refuse)
}
