//! `/subnets`. Source of names and shapes: OCI Core Services API 20160918.

use super::store::{self, SubnetRange};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    cidr::Cidr,
    cluster::wire::wire,
    entity::{Change, Entity, Kind, store as entity_store, store::Table},
    error::invalid,
    openapi::PageParams,
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
use std::{net::Ipv4Addr, sync::Arc};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, remove))
}

/// What only subnets have.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    vcn_id: String,
    cidr_block: String,
    availability_domain: Option<String>,
    dns_label: Option<String>,
    prohibit_public_ip: bool,
}

impl Fields {
    fn router(&self) -> Ipv4Addr {
        self.cidr_block.parse::<Cidr>().map_or(Ipv4Addr::UNSPECIFIED, Cidr::router)
    }

    fn router_mac(&self) -> String {
        let [a, b, c, d] = self.router().octets();
        format!("02:00:{a:02X}:{b:02X}:{c:02X}:{d:02X}")
    }
}

impl Kind for Fields {
    const RESOURCE: Resource = Resource::Subnets;
    const NOUN: &'static str = "subnet";
    const TABLE: Table = Table {
        name: "subnets",
        own: &[
            ("vcn_id", "text"),
            ("cidr_block", "text"),
            ("availability_domain", "text"),
            ("dns_label", "text"),
            ("prohibit_public_ip", "boolean"),
        ],
        in_compartments: true,
        unique: "",
    };
    const STATES: &'static [&'static str] = &["AVAILABLE"];
    const NAME: (&'static str, &'static str) = ("DISPLAYNAME", "displayName");

    fn check_name(name: String) -> Result<String, Error> {
        crate::cluster::check_name("displayName", name)
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            vcn_id: row.try_get("vcn_id")?,
            cidr_block: row.try_get("cidr_block")?,
            availability_domain: row.try_get("availability_domain")?,
            dns_label: row.try_get("dns_label")?,
            prohibit_public_ip: row.try_get("prohibit_public_ip")?,
        })
    }

    fn write(&self) -> serde_json::Value {
        json!({
            "vcn_id": self.vcn_id, "cidr_block": self.cidr_block, "availability_domain": self.availability_domain,
            "dns_label": self.dns_label, "prohibit_public_ip": self.prohibit_public_ip,
        })
    }

    /// A subnet lies in its VCN, beside the other ones.
    async fn check_new(&self, db: &mut PgConnection, caller: &Caller) -> Result<(), Error> {
        super::vcn::usable(db, caller, &self.vcn_id).await?;
        let range: Cidr = self.cidr_block.parse().map_err(|why: String| invalid(why))?;
        let blocks = store::blocks(db, &self.vcn_id).await?;
        if !blocks.iter().any(|block| block.contains(range)) {
            let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            return Err(invalid(format!("cidrBlock {range} is not in the VCN's ranges {}", blocks.join(", "))));
        }
        match store::ranges(db, &self.vcn_id).await?.iter().find(|other| other.range.overlaps(range)) {
            Some(other) => Err(invalid(format!("cidrBlock {range} overlaps {} of subnet {}", other.range, other.id))),
            None => Ok(()),
        }
    }
}

/// What a new subnet should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateSubnetDetails)]
struct CreateDetails {
    compartment_id: String,
    display_name: Option<String>,
    vcn_id: String,
    cidr_block: String,
    /// Kept, and given back: subnets span all domains.
    availability_domain: Option<String>,
    /// Kept, and given back: names of pods are their cluster's.
    dns_label: Option<String>,
    /// True: nothing in it may have a public address.
    prohibit_public_ip_on_vnic: Option<bool>,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    #[schema(as = UpdateSubnetDetails)]
    UpdateDetails {
        display_name: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A subnet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Subnet)]
struct SubnetResponse {
    id: String,
    compartment_id: String,
    display_name: String,
    vcn_id: String,
    cidr_block: String,
    virtual_router_ip: String,
    /// Derived from the router's address: there is no link layer between pods.
    virtual_router_mac: String,
    route_table_id: String,
    availability_domain: Option<String>,
    dns_label: Option<String>,
    prohibit_public_ip_on_vnic: bool,
    lifecycle_state: &'static str,
    time_created: String,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<Fields>> for SubnetResponse {
    fn from(entity: Entity<Fields>) -> Self {
        Self {
            virtual_router_ip: entity.own.router().to_string(),
            virtual_router_mac: entity.own.router_mac(),
            // One routing table of a VCN: everything in it reaches everything in it.
            route_table_id: entity.own.vcn_id.replacen("ocid1.vcn.", "ocid1.routetable.", 1),
            vcn_id: entity.own.vcn_id,
            cidr_block: entity.own.cidr_block,
            availability_domain: entity.own.availability_domain,
            dns_label: entity.own.dns_label,
            prohibit_public_ip_on_vnic: entity.own.prohibit_public_ip,
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
    resource(SubnetResponse::from(entity), Some(&etag))
}

/// Makes a subnet.
#[utoipa::path(
    post,
    path = "/subnets",
    tag = "Networks",
    operation_id = "create_subnet",
    request_body = CreateDetails,
    responses((status = 200, description = "OK", body = SubnetResponse)),
    extensions(("x-hako-access" = json!("manage subnets"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreateDetails = rest::body(&body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::Subnets)?;
    super::vcn::check_range("cidrBlock", &details.cidr_block, 8..=30)?;
    if let Some(domain) =
        details.availability_domain.as_ref().filter(|d| !cloud.config.availability_domains.contains(d))
    {
        return Err(invalid(format!("availabilityDomain {domain:?} does not exist")));
    }
    let own = Fields {
        vcn_id: details.vcn_id,
        cidr_block: details.cidr_block,
        availability_domain: details.availability_domain,
        dns_label: super::vcn::check_dns_label(details.dns_label)?,
        prohibit_public_ip: details.prohibit_public_ip_on_vnic.unwrap_or_default(),
    };
    let name = details.display_name.unwrap_or_else(|| format!("subnet{}", cloud.now_ms()));
    let change =
        Change { freeform_tags: details.freeform_tags, defined_tags: details.defined_tags, ..Change::default() };
    let id = domain::SubnetId::generate();
    let entity = Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, own)?;
    let made = entity.create(&cloud, &caller, &body).await?;
    Ok(answer(made))
}

/// Lists the subnets of a compartment.
#[utoipa::path(
    get,
    path = "/subnets",
    tag = "Networks",
    operation_id = "list_subnets",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The compartment"),
        ("vcnId" = Option<String>, Query, description = "Only those of this VCN"),
        ("displayName" = Option<String>, Query, description = "Only those of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only those in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<SubnetResponse>)),
    extensions(("x-hako-access" = json!("inspect subnets"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    Entity::list(&cloud, &caller, &params, &[("vcnId", "vcn_id")], SubnetResponse::from).await
}

/// Gets a subnet.
#[utoipa::path(
    get,
    path = "/subnets/{subnetId}",
    tag = "Networks",
    operation_id = "get_subnet",
    params(("subnetId" = String, Path, description = "The subnet")),
    responses((status = 200, description = "OK", body = SubnetResponse)),
    extensions(("x-hako-access" = json!("read subnets"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(Entity::<Fields>::find(&cloud, &caller, &id, Verb::Read).await?))
}

/// Changes a subnet.
#[utoipa::path(
    put,
    path = "/subnets/{subnetId}",
    tag = "Networks",
    operation_id = "update_subnet",
    params(("subnetId" = String, Path, description = "The subnet")),
    request_body = UpdateDetails,
    responses((status = 200, description = "OK", body = SubnetResponse)),
    extensions(("x-hako-access" = json!("use subnets"))),
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

/// Deletes a subnet that nothing uses.
#[utoipa::path(
    delete,
    path = "/subnets/{subnetId}",
    tag = "Networks",
    operation_id = "delete_subnet",
    params(("subnetId" = String, Path, description = "The subnet")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage subnets"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    // Whoever makes something in it holds the same lock.
    crate::quota::lock_tenancy(&mut txn, &caller.principal.tenant_id).await?;
    let entity = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    if let Some((what, count)) = store::first_content(&mut txn, store::IN_SUBNET, &id).await? {
        let message = format!("the subnet is in use: it has {count} {what}; delete them first");
        return Err(oci::Error::conflict(message).into());
    }
    entity.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}

/// A subnet that exists and that the caller may use.
pub(super) async fn usable(db: &mut PgConnection, caller: &Caller, id: &str) -> Result<SubnetRange, Error> {
    let found = entity_store::lock::<Fields>(db, &caller.principal.tenant_id, id).await?;
    let found = found.filter(|subnet| caller.may(Verb::Use, Resource::Subnets, &subnet.compartment_id));
    let found = found.ok_or_else(|| crate::error::not_found("subnet", id))?;
    let range = found.own.cidr_block.parse().map_err(|why: String| invalid(why))?;
    Ok(SubnetRange { id: found.id, vcn_id: found.own.vcn_id, range })
}
