//! `/networkSecurityGroups`. Source of names and shapes: OCI Core Services API 20160918.

use super::{
    security_rule::{self, Direction, SecurityRule, SecurityRuleDetails},
    store,
};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
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
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, remove))
        .routes(routes!(list_rules))
        .routes(routes!(add_rules))
        .routes(routes!(update_rules))
        .routes(routes!(remove_rules))
}

/// What only security groups have.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    vcn_id: String,
    rules: Vec<SecurityRule>,
}

impl Kind for Fields {
    const RESOURCE: Resource = Resource::NetworkSecurityGroups;
    const NOUN: &'static str = "network security group";
    const TABLE: Table = Table {
        name: "security_groups",
        own: &[("vcn_id", "text"), ("rules", "jsonb")],
        in_compartments: true,
        unique: "",
    };
    const STATES: &'static [&'static str] = &["AVAILABLE"];
    const NAME: (&'static str, &'static str) = ("DISPLAYNAME", "displayName");

    fn check_name(name: String) -> Result<String, Error> {
        crate::cluster::check_name("displayName", name)
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { vcn_id: row.try_get("vcn_id")?, rules: crate::sql::json(row, "rules")? })
    }

    fn write(&self) -> serde_json::Value {
        json!({"vcn_id": self.vcn_id, "rules": self.rules})
    }

    async fn check_new(&self, db: &mut PgConnection, caller: &Caller) -> Result<(), Error> {
        super::vcn::usable(db, caller, &self.vcn_id).await.map(drop)
    }
}

/// What a new network security group should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateNetworkSecurityGroupDetails)]
struct CreateDetails {
    compartment_id: String,
    display_name: Option<String>,
    vcn_id: String,
    freeform_tags: Option<FreeformTags>,
    defined_tags: Option<DefinedTags>,
}

wire! {
    /// What an update may change.
    #[schema(as = UpdateNetworkSecurityGroupDetails)]
    UpdateDetails {
        display_name: String,
        freeform_tags: FreeformTags,
        defined_tags: DefinedTags,
    }
}

/// A network security group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NetworkSecurityGroup)]
struct NetworkSecurityGroupResponse {
    id: String,
    compartment_id: String,
    display_name: String,
    vcn_id: String,
    lifecycle_state: &'static str,
    time_created: String,
    freeform_tags: FreeformTags,
    defined_tags: DefinedTags,
}

impl From<Entity<Fields>> for NetworkSecurityGroupResponse {
    fn from(entity: Entity<Fields>) -> Self {
        Self {
            vcn_id: entity.own.vcn_id,
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
    resource(NetworkSecurityGroupResponse::from(entity), Some(&etag))
}

/// Makes a network security group.
#[utoipa::path(
    post,
    path = "/networkSecurityGroups",
    tag = "Networks",
    operation_id = "create_network_security_group",
    request_body = CreateDetails,
    responses((status = 200, description = "OK", body = NetworkSecurityGroupResponse)),
    extensions(("x-hako-access" = json!("manage network-security-groups"))),
)]
async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: CreateDetails = rest::body(&body)?;
    let compartment = caller.compartment_for_new(&details.compartment_id, Resource::NetworkSecurityGroups)?;
    let own = Fields { vcn_id: details.vcn_id, rules: Vec::new() };
    let name = details.display_name.unwrap_or_else(|| format!("securitygroup{}", cloud.now_ms()));
    let change =
        Change { freeform_tags: details.freeform_tags, defined_tags: details.defined_tags, ..Change::default() };
    let id = domain::SecurityGroupId::generate();
    let entity = Entity::new(&cloud, &caller, compartment, (id.as_str(), name), change, own)?;
    let made = entity.create(&cloud, &caller, &body).await?;
    Ok(answer(made))
}

/// Lists the network security groups of a compartment.
#[utoipa::path(
    get,
    path = "/networkSecurityGroups",
    tag = "Networks",
    operation_id = "list_network_security_groups",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The compartment"),
        ("vcnId" = Option<String>, Query, description = "Only those of this VCN"),
        ("displayName" = Option<String>, Query, description = "Only those of this name"),
        ("lifecycleState" = Option<String>, Query, description = "Only those in this state"),
    ),
    responses((status = 200, description = "OK", body = Vec<NetworkSecurityGroupResponse>)),
    extensions(("x-hako-access" = json!("inspect network-security-groups"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    Entity::list(&cloud, &caller, &params, &[("vcnId", "vcn_id")], NetworkSecurityGroupResponse::from).await
}

/// Gets a network security group.
#[utoipa::path(
    get,
    path = "/networkSecurityGroups/{networkSecurityGroupId}",
    tag = "Networks",
    operation_id = "get_network_security_group",
    params(("networkSecurityGroupId" = String, Path, description = "The network security group")),
    responses((status = 200, description = "OK", body = NetworkSecurityGroupResponse)),
    extensions(("x-hako-access" = json!("read network-security-groups"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(answer(Entity::<Fields>::find(&cloud, &caller, &id, Verb::Read).await?))
}

/// Changes a network security group.
#[utoipa::path(
    put,
    path = "/networkSecurityGroups/{networkSecurityGroupId}",
    tag = "Networks",
    operation_id = "update_network_security_group",
    params(("networkSecurityGroupId" = String, Path, description = "The network security group")),
    request_body = UpdateDetails,
    responses((status = 200, description = "OK", body = NetworkSecurityGroupResponse)),
    extensions(("x-hako-access" = json!("use network-security-groups"))),
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

/// Deletes a network security group that nothing uses.
#[utoipa::path(
    delete,
    path = "/networkSecurityGroups/{networkSecurityGroupId}",
    tag = "Networks",
    operation_id = "delete_network_security_group",
    params(("networkSecurityGroupId" = String, Path, description = "The network security group")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage network-security-groups"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let mut txn = cloud.db.begin().await?;
    // Whoever makes something in it holds the same lock.
    crate::quota::lock_tenancy(&mut txn, &caller.principal.tenant_id).await?;
    let entity = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    if let Some((what, count)) = store::first_content(&mut txn, store::IN_GROUP, &id).await? {
        let message = format!("the network security group is in use: it has {count} {what}; delete them first");
        return Err(oci::Error::conflict(message).into());
    }
    entity.drop(&cloud, txn).await.map(|()| StatusCode::NO_CONTENT)
}

/// Refuses groups that don't exist, that the caller may not use, or that are of another VCN.
pub(super) async fn check(db: &mut PgConnection, caller: &Caller, vcn_id: &str, ids: &[String]) -> Result<(), Error> {
    for id in ids {
        let found = entity_store::lock::<Fields>(db, &caller.principal.tenant_id, id).await?;
        let found = found.filter(|g| caller.may(Verb::Use, Resource::NetworkSecurityGroups, &g.compartment_id));
        let group = found.ok_or_else(|| crate::error::not_found("network security group", id))?;
        if group.own.vcn_id != vcn_id {
            return Err(invalid(format!("nsgIds: {id} is of another VCN; use groups of {vcn_id}")));
        }
    }
    Ok(())
}

wire! {
    /// Rules to add.
    #[schema(as = AddNetworkSecurityGroupSecurityRulesDetails)]
    AddRulesDetails {
        security_rules: Vec<SecurityRuleDetails>,
    }
    /// Rules to change, each named by its id.
    #[schema(as = UpdateNetworkSecurityGroupSecurityRulesDetails)]
    UpdateRulesDetails {
        security_rules: Vec<SecurityRuleDetails>,
    }
    /// Rules to remove.
    #[schema(as = RemoveNetworkSecurityGroupSecurityRulesDetails)]
    RemoveRulesDetails {
        security_rule_ids: Vec<String>,
    }
}

/// Rules as they are now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SecurityRules {
    security_rules: Vec<SecurityRule>,
}

/// Lists the rules of a network security group.
#[utoipa::path(
    get,
    path = "/networkSecurityGroups/{networkSecurityGroupId}/securityRules",
    tag = "Networks",
    operation_id = "list_network_security_group_security_rules",
    params(
        ("networkSecurityGroupId" = String, Path, description = "The network security group"),
        ("direction" = Option<String>, Query, description = "Only INGRESS or EGRESS"),
    ),
    responses((status = 200, description = "OK", body = Vec<SecurityRule>)),
    extensions(("x-hako-access" = json!("read network-security-groups"))),
)]
async fn list_rules(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Error> {
    let group = Entity::<Fields>::find(&cloud, &caller, &id, Verb::Read).await?;
    let wanted = params.one_of("direction", &[("INGRESS", Direction::Ingress), ("EGRESS", Direction::Egress)])?;
    let rules = group.own.rules.into_iter().filter(|rule| wanted.is_none_or(|wanted| rule.details.direction == wanted));
    Ok(resource(rules.collect::<Vec<_>>(), None))
}

/// Adds rules to a network security group.
#[utoipa::path(
    post,
    path = "/networkSecurityGroups/{networkSecurityGroupId}/actions/addSecurityRules",
    tag = "Networks",
    operation_id = "add_network_security_group_security_rules",
    params(("networkSecurityGroupId" = String, Path, description = "The network security group")),
    request_body = AddRulesDetails,
    responses((status = 200, description = "OK", body = SecurityRules)),
    extensions(("x-hako-access" = json!("manage network-security-groups"))),
)]
async fn add_rules(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: AddRulesDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut group = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    let added = security_rule::add(&mut group.own.rules, details.security_rules.unwrap_or_default(), cloud.now_ms())?;
    group.save(&cloud, txn).await?;
    Ok(resource(SecurityRules { security_rules: added }, None))
}

/// Changes rules of a network security group.
#[utoipa::path(
    post,
    path = "/networkSecurityGroups/{networkSecurityGroupId}/actions/updateSecurityRules",
    tag = "Networks",
    operation_id = "update_network_security_group_security_rules",
    params(("networkSecurityGroupId" = String, Path, description = "The network security group")),
    request_body = UpdateRulesDetails,
    responses((status = 200, description = "OK", body = SecurityRules)),
    extensions(("x-hako-access" = json!("manage network-security-groups"))),
)]
async fn update_rules(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    let details: UpdateRulesDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut group = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    let changed = security_rule::update(&mut group.own.rules, details.security_rules.unwrap_or_default())?;
    group.save(&cloud, txn).await?;
    Ok(resource(SecurityRules { security_rules: changed }, None))
}

/// Removes rules of a network security group.
#[utoipa::path(
    post,
    path = "/networkSecurityGroups/{networkSecurityGroupId}/actions/removeSecurityRules",
    tag = "Networks",
    operation_id = "remove_network_security_group_security_rules",
    params(("networkSecurityGroupId" = String, Path, description = "The network security group")),
    request_body = RemoveRulesDetails,
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("manage network-security-groups"))),
)]
async fn remove_rules(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let details: RemoveRulesDetails = rest::body(&body)?;
    let mut txn = cloud.db.begin().await?;
    let mut group = Entity::<Fields>::lock(&mut txn, &caller, &id, Verb::Manage).await?;
    security_rule::remove(&mut group.own.rules, &details.security_rule_ids.unwrap_or_default())?;
    group.save(&cloud, txn).await.map(|_| StatusCode::NO_CONTENT)
}
