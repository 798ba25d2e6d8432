//! `/userGroupMemberships`. Source of names and shapes: OCI Identity API 20160918.

use super::{group::GroupFields, store, user::UserFields};
use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    caller::Owned,
    entity::{Entity, store as entities},
    error::{invalid, not_found},
    openapi::PageParams,
    rest::{self, Caller, Params, Sort, SortKey, resource, time},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use domain::{CompartmentId, GroupId, MembershipId, TenantId, UserId};
use http::StatusCode;
use problem::oci;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

const SORTS: &[Sort] = &[Sort { word: "TIMECREATED", column: "created_ms" }];

pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(read, remove))
}

/// That a user is in a group.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) id: MembershipId,
    pub(crate) tenancy_id: TenantId,
    pub(crate) root: CompartmentId,
    pub(crate) user_id: UserId,
    pub(crate) group_id: GroupId,
    pub(crate) created_ms: i64,
}

impl Owned for Membership {
    const RESOURCE: Resource = Resource::Groups;
    const NOUN: &'static str = "membership";

    fn compartment(&self) -> &CompartmentId {
        &self.root
    }

    fn name(&self) -> &str {
        self.user_id.as_str()
    }
}

/// Who should be in which group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AddUserToGroupDetails {
    user_id: String,
    group_id: String,
}

/// That a user is in a group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserGroupMembership)]
struct MembershipResponse {
    id: String,
    compartment_id: String,
    user_id: String,
    group_id: String,
    time_created: String,
    lifecycle_state: &'static str,
}

impl From<Membership> for MembershipResponse {
    fn from(membership: Membership) -> Self {
        Self {
            id: membership.id.as_str().to_owned(),
            compartment_id: membership.tenancy_id.as_str().to_owned(),
            user_id: membership.user_id.as_str().to_owned(),
            group_id: membership.group_id.as_str().to_owned(),
            time_created: time(membership.created_ms),
            lifecycle_state: "ACTIVE",
        }
    }
}

/// Puts a user into a group.
#[utoipa::path(
    post,
    path = "/userGroupMemberships",
    tag = "Identity",
    operation_id = "add_user_to_group",
    request_body = AddUserToGroupDetails,
    responses((status = 200, description = "OK", body = MembershipResponse)),
    extensions(("x-hako-access" = json!("use groups"))),
)]
async fn add(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let details: AddUserToGroupDetails = rest::body(&body)?;
    let tenant = &caller.principal.tenant_id;
    let mut txn = cloud.db.begin().await?;
    let user: Entity<UserFields> =
        caller.admit(Verb::Use, entities::lock(&mut txn, tenant, &details.user_id).await?, &details.user_id)?;
    let group: Entity<GroupFields> =
        caller.admit(Verb::Use, entities::lock(&mut txn, tenant, &details.group_id).await?, &details.group_id)?;
    let bad = |error: domain::IdError| invalid(error.to_string());
    let membership = Membership {
        id: MembershipId::generate(),
        tenancy_id: tenant.clone(),
        root: CompartmentId::root(tenant),
        user_id: user.id.parse().map_err(bad)?,
        group_id: group.id.parse().map_err(bad)?,
        created_ms: cloud.now_ms(),
    };
    caller.about(&membership.root, membership.id.as_str(), &group.name);
    store::insert_membership(&mut txn, &membership).await?;
    txn.commit().await?;
    Ok(resource(MembershipResponse::from(membership), None))
}

/// Lists who is in which group.
#[utoipa::path(
    get,
    path = "/userGroupMemberships",
    tag = "Identity",
    operation_id = "list_user_group_memberships",
    params(
        PageParams,
        ("compartmentId" = String, Query, description = "The tenancy"),
        ("userId" = Option<String>, Query, description = "Only those of this user"),
        ("groupId" = Option<String>, Query, description = "Only those of this group"),
    ),
    responses((status = 200, description = "OK", body = Vec<MembershipResponse>)),
    extensions(("x-hako-access" = json!("inspect groups"))),
)]
async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, Resource::Groups)?;
    if compartment != CompartmentId::root(&caller.principal.tenant_id) {
        return Err(invalid("compartmentId must be the tenancy: users and groups lie there"));
    }
    let page = params.page(SORTS, false)?;
    let tenant = &caller.principal.tenant_id;
    let rows = store::memberships(&cloud.db, tenant, params.get("userId"), params.get("groupId"), &page).await?;
    let key = |row: &Membership, _: &str| (SortKey::Number(row.created_ms), row.id.as_str().to_owned());
    Ok(page.answer(rows, key, MembershipResponse::from))
}

/// Gets a membership.
#[utoipa::path(
    get,
    path = "/userGroupMemberships/{userGroupMembershipId}",
    tag = "Identity",
    operation_id = "get_user_group_membership",
    params(("userGroupMembershipId" = String, Path, description = "The membership")),
    responses((status = 200, description = "OK", body = MembershipResponse)),
    extensions(("x-hako-access" = json!("inspect groups"))),
)]
async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let mut db = cloud.db.acquire().await?;
    let found = store::membership(&mut db, &caller.principal.tenant_id, &id).await?;
    Ok(resource(MembershipResponse::from(caller.admit(Verb::Inspect, found, &id)?), None))
}

/// Takes a user out of a group.
#[utoipa::path(
    delete,
    path = "/userGroupMemberships/{userGroupMembershipId}",
    tag = "Identity",
    operation_id = "remove_user_from_group",
    params(("userGroupMembershipId" = String, Path, description = "The membership")),
    responses((status = 204, description = "Done")),
    extensions(("x-hako-access" = json!("use groups"))),
)]
async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let tenant = &caller.principal.tenant_id;
    let mut txn = cloud.db.begin().await?;
    let found = store::membership(&mut txn, tenant, &id).await?;
    let membership = caller.admit(Verb::Use, found, &id)?;
    // The lock on the group makes the count below exact.
    let group = membership.group_id.as_str();
    let group: Entity<GroupFields> =
        entities::lock(&mut txn, tenant, group).await?.ok_or_else(|| not_found("group", group))?;
    if !caller.may(Verb::Use, Resource::Users, &membership.root) {
        return Err(not_found("membership", &id));
    }
    if group.name == super::ADMINISTRATORS && store::members(&mut txn, &group.id).await? <= 1 {
        let why = "the last administrator can't be removed: nobody could let another one in";
        return Err(oci::Error::incorrect_state(why).into());
    }
    store::delete_membership(&mut txn, tenant, &membership.id).await?;
    txn.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
