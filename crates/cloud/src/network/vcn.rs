//! `/vcns`. Source of names and shapes: OCI Core Services API 20160918.

use super::store;
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cidr::Cidr,
    cluster::wire::wire,
    entity::{Change, Entity, Kind, store as entity_store, store::Table},
    error::invalid,
    openapi::PageParams,
    quota::Limit,
    rest::{self, Caller, Params, resource, time},
    tag::{DefinedTags, FreeformTags},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;
use problem::oci;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, Row, postgres::PgRow};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, remove))
}

/// What only VCNs have.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    cidr_blocks: Vec<String>,
    dns_label: Option<String>,
}

impl Kind for Fields {
    const RESOURCE: Resource = Resource::Vcns;
    const NOUN: &'static str = "VCN";
    const LIMIT: Option<Limit> = Some(Limit::Vcns);
    const TABLE: Table = Table {
        name: "vcns",
        own: &[("cidr_blocks", "text[]"), ("dns_label", "text")],
        in_compartments: true,
        unique: "",
    };
    const STATES: &'static [&'static str] = &["AVAILABLE"];
    const NAME: (&'static str, &'static str) = ("DISPLAYNAME", "displayName");

    fn check_name(name: String) -> Result<String, Error> {
        crate::cluster::check_name("displayName", name)
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { cidr_blocks: row.try_get("cidr_blocks")?, dns_label: row.try_get("dns_label")? })
    }

    fn write(&self) -> serde_json::Value {
        json!({"cidr_blocks": self.cidr_blocks, "dns_label": self.dns_label})
    }
}

/// What a new VCN should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateVcnDetails)]
struct CreateDetails {
    compartment_id: String,
    display_name: Option<String>,
    /// One range; `cidrBlocks` takes several.
    cidr_block: Option<String>,
    cidr_blocks: Option<Vec<String>>,
    /// Kept, and given back: names of pods are their cluster's.
    dns_label: Option<String>,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    #[schema(as = UpdateVcnDetails)]
    UpdateDetails {
        display_name: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A VCN.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Vcn)]
struct VcnResponse {
    id: String,
    compartment_id: String,
    display_name: String,
    cidr_block: String,
    cidr_blocks: Vec<String>,
    dns_label: Option<String>,
    lifecycle_state: &'static str,
    time_created: String,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<Fields>> for VcnResponse {
    fn from(entity: Entity<Fields>) -> Self {
        Self {
            cidr_block: entity.own.cidr_blocks.first().cloned().unwrap_or_default(),
            cidr_blocks: entity.own.cidr_blocks,
            dns_label: entity.own.dns_label,
            id: entity.id,
            compartment_id: entity.compartment_id.as_str().to_owned(),
            display_name: entity.name,
            lifecycle_state: "AVAILABLE",
            time_created: time(entity.created_ms),
            freeform_tags: entity.freeform_tags,
            defined_tags: entity.defined_tags,
        }
    }
}

fn answer(entity: Entity<Fields>) -> Response {
    let etag = entity.etag();
    resource(VcnResponse::from(entity), Some(&etag))
}

/// Makes a VCN.
#[utoipa::path(
    post,
    path = "/vcns",
    tag = "Networks",
    operation_id = "create_vcn",
    request_body = CreateDetails,
    responses((status = 200, description = "OK", body = VcnResponse)),
    extensions(("x-hako-access" = json!("manage vcns"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreateDetails = rest::body(&body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::Vcns)?;
    let own = Fields {
        cidr_blocks: check_blocks(details.cidr_block, details.cidr_blocks)?,
        dns_label: check_dns_label(details.dns_label)?,
    };
    let name = details.display_name.unwrap_or_else(|| format!("vcn{}", cloud.now_ms()));
    let change =
        Change { freeform_tags: details.freeform_tags, defined_tags: details.defined_tags, ..Change::default() };
    let id = domain::VcnId::generate();
    let entity = Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, own)?;
    let made = entity.create(&cloud, &caller, &body).await?;
    Ok(answer(made))
}

/// Lists the VCNs of a compartment.
#[utoipa::path(
    get,
    path = "/vcns",
    tag = "Networks",
    operation_id = "list_vcns",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The compartment"),
        ("displayName" = Option<String>, Query, description = "Only those of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only those in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<VcnResponse>)),
    extensions(("x-hako-access" = json!("inspect vcns"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    Entity::list(&cloud, &caller, &params, &[], VcnResponse::from).await
}

/// Gets a VCN.
#[utoipa::path(
    get,
    path = "/vcns/{vcnId}",
    tag = "Networks",
    operation_id = "get_vcn",
    params(("vcnId" = String, Path, description = "The VCN")),
    responses((status = 200, description = "OK", body = VcnResponse)),
    extensions(("x-hako-access" = json!("read vcns"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(Entity::<Fields>::find(&cloud, &caller, &id, Verb::Read).await?))
}

/// Changes a VCN.
#[utoipa::path(
    put,
    path = "/vcns/{vcnId}",
    tag = "Networks",
    operation_id = "update_vcn",
    params(("vcnId" = String, Path, description = "The VCN")),
    request_body = UpdateDetails,
    responses((status = 200, description = "OK", body = VcnResponse)),
    extensions(("x-hako-access" = json!("use vcns"))),
)]
async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdateDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut entity = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Use).await?;
    if let Some(name) = details.display_name {
        entity.name = Fields::check_name(name)?;
    }
    let UpdateDetails { freeform_tags, defined_tags, .. } = details;
    entity.change(Change { freeform_tags, defined_tags, ..Change::default() })?;
    Ok(answer(entity.save(&cloud, txn).await?))
}

/// Deletes a VCN that nothing uses.
#[utoipa::path(
    delete,
    path = "/vcns/{vcnId}",
    tag = "Networks",
    operation_id = "delete_vcn",
    params(("vcnId" = String, Path, description = "The VCN")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage vcns"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    // Whoever makes something in it holds the same lock.
    crate::quota::lock_tenancy(&mut txn, &caller.principal.tenant_id).await?;
    let entity = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    if let Some((what, count)) = store::first_content(&mut txn, store::IN_VCN, &id).await? {
        let message = format!("the VCN is in use: it has {count} {what}; delete them first");
        return Err(oci::Error::conflict(message).into());
    }
    entity.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}

/// Ranges of a VCN. Source: OCI's rules, /16 to /30; wider ones are taken too, for many pods.
fn check_blocks(one: Option<String>, many: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let texts = match (one, many.unwrap_or_default()) {
        (Some(one), many) if many.is_empty() => vec![one],
        (None, many) if !many.is_empty() => many,
        (None, _) => return Err(invalid("cidrBlocks: a VCN needs a range")),
        (Some(_), _) => return Err(invalid("cidrBlock and cidrBlocks can't be given both")),
    };
    // Source: OCI's limit.
    if texts.len() > 5 {
        return Err(invalid("cidrBlocks: a VCN has at most 5 ranges"));
    }
    let mut blocks: Vec<Cidr> = Vec::new();
    for text in &texts {
        let block = check_range("cidrBlocks", text, 8..=30)?;
        if blocks.iter().any(|other| other.overlaps(block)) {
            return Err(invalid(format!("cidrBlocks: {block} overlaps another of its ranges")));
        }
        blocks.push(block);
    }
    Ok(texts)
}

/// A range for private use.
pub(super) fn check_range(field: &str, text: &str, prefixes: std::ops::RangeInclusive<u8>) -> Result<Cidr, Error> {
    let range: Cidr = text.parse().map_err(|why| invalid(format!("{field}: {why}")))?;
    if !prefixes.contains(&range.prefix()) || range.is_special() {
        let (from, to) = prefixes.into_inner();
        return Err(invalid(format!("{field}: {range} must be for private use, and its prefix from /{from} to /{to}")));
    }
    Ok(range)
}

/// Source: OCI's rules for labels: letters and digits, a letter first, at most 15.
pub(super) fn check_dns_label(label: Option<String>) -> Result<Option<String>, Error> {
    let fits = |label: &String| {
        label.len() <= 15
            && label.starts_with(|c: char| c.is_ascii_alphabetic())
            && label.chars().all(|c| c.is_ascii_alphanumeric())
    };
    match label.filter(|label| !label.is_empty()) {
        Some(label) if !fits(&label) => {
            Err(invalid("dnsLabel must have at most 15 letters and digits, and begin with a letter"))
        }
        label => Ok(label),
    }
}

/// The id of a VCN that exists and that the caller may use.
pub(super) async fn usable(db: &mut PgConnection, caller: &Caller, id: &str) -> Result<String, Error> {
    let found = entity_store::lock::<Fields>(db, &caller.principal.tenant_id, id).await?;
    let found = found.filter(|vcn| caller.may(Verb::Use, Resource::Vcns, &vcn.compartment_id));
    found.map(|vcn| vcn.id).ok_or_else(|| crate::error::not_found("VCN", id))
}
