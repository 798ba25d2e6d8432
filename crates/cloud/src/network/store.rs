//! SQL of networks, beside what all entities have.

use crate::cidr::Cidr;
use domain::{CompartmentId, SubnetId, TenantId, VcnId};
use sqlx::{AssertSqlSafe, PgConnection};

/// A subnet as those need it who take addresses from it.
#[derive(Debug, Clone)]
pub(crate) struct SubnetRange {
    pub(crate) id: String,
    pub(crate) vcn_id: String,
    pub(crate) range: Cidr,
}

fn cidr(text: &str) -> Result<Cidr, sqlx::Error> {
    text.parse().map_err(|why: String| sqlx::Error::Decode(why.into()))
}

/// A network's ranges; the row is locked so that its subnets stay as they are until the transaction ends.
pub(super) async fn blocks(db: &mut PgConnection, vcn_id: &str) -> Result<Vec<Cidr>, sqlx::Error> {
    let query = sqlx::query_scalar("select cidr_blocks from vcns where id = $1 for update");
    let blocks: Option<Vec<String>> = query.bind(vcn_id).fetch_optional(db).await?;
    blocks.unwrap_or_default().iter().map(|block| cidr(block)).collect()
}

pub(super) async fn add_block(db: &mut PgConnection, vcn_id: &str, block: Cidr) -> Result<(), sqlx::Error> {
    let query = "update vcns set cidr_blocks = array_append(cidr_blocks, $2), version = version + 1 where id = $1";
    sqlx::query(query).bind(vcn_id).bind(block.to_string()).execute(db).await?;
    Ok(())
}

/// Subnets of a network, oldest first.
pub(super) async fn ranges(db: &mut PgConnection, vcn_id: &str) -> Result<Vec<SubnetRange>, sqlx::Error> {
    let query = "select id, cidr_block from subnets where vcn_id = $1 order by created_ms, id";
    let rows: Vec<(String, String)> = sqlx::query_as(query).bind(vcn_id).fetch_all(db).await?;
    let subnet =
        |(id, block): (String, String)| Ok(SubnetRange { id, vcn_id: vcn_id.to_owned(), range: cidr(&block)? });
    rows.into_iter().map(subnet).collect()
}

pub(super) async fn default_vcn(
    db: &mut PgConnection,
    compartment: &CompartmentId,
) -> Result<Option<String>, sqlx::Error> {
    let query = sqlx::query_scalar("select id from vcns where compartment_id = $1 and is_default");
    query.bind(compartment.as_str()).fetch_optional(db).await
}

/// Who owns what is made, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) compartment: &'a CompartmentId,
    pub(super) now_ms: i64,
}

/// Makes a compartment's default network.
pub(super) async fn insert_default_vcn(
    db: &mut PgConnection,
    owner: Owner<'_>,
    id: &VcnId,
    block: Cidr,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into vcns (id, tenancy_id, compartment_id, name, cidr_blocks, is_default, created_ms)
         values ($1, $2, $3, 'default', array[$4], true, $5)",
    )
    .bind(id.as_str())
    .bind(owner.tenant.as_str())
    .bind(owner.compartment.as_str())
    .bind(block.to_string())
    .bind(owner.now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// Makes a subnet for pods.
pub(super) async fn insert_pod_subnet(
    db: &mut PgConnection,
    owner: Owner<'_>,
    vcn_id: &str,
    range: Cidr,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into subnets (id, tenancy_id, compartment_id, vcn_id, name, cidr_block, created_ms)
         values ($1, $2, $3, $4, 'pods', $5, $6)",
    )
    .bind(SubnetId::generate().as_str())
    .bind(owner.tenant.as_str())
    .bind(owner.compartment.as_str())
    .bind(vcn_id)
    .bind(range.to_string())
    .bind(owner.now_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// What is in a network or subnet and keeps it from being deleted: words with a query of one parameter, its id.
pub(super) type Contents = &'static [(&'static str, &'static str)];

/// What is in a VCN.
pub(super) const IN_VCN: Contents = &[
    ("subnets", "select count(*) from subnets where vcn_id = $1"),
    ("network security groups", "select count(*) from security_groups where vcn_id = $1"),
    ("clusters", "select count(*) from clusters where vcn_id = $1 and lifecycle_state <> 'DELETED'"),
];

/// What is in a subnet.
pub(super) const IN_SUBNET: Contents = &[
    (
        "container instances",
        "select count(*) from container_instances where subnet_id = $1 and lifecycle_state <> 'DELETED'",
    ),
    (
        "clusters",
        "select count(*) from clusters c join subnets s on s.vcn_id = c.vcn_id and s.cidr_block = c.pods_cidr
          where s.id = $1 and c.lifecycle_state <> 'DELETED'",
    ),
    (
        "virtual node pools",
        "select count(*) from virtual_node_pools
          where spec -> 'podConfiguration' ->> 'subnetId' = $1 and lifecycle_state <> 'DELETED'",
    ),
];

/// What is in a security group.
pub(super) const IN_GROUP: Contents = &[(
    "virtual node pools",
    "select count(*) from virtual_node_pools where spec -> 'nsgIds' ? $1 and lifecycle_state <> 'DELETED'",
)];

/// The first kind of thing of which there are some, and how many.
pub(super) async fn first_content(
    db: &mut PgConnection,
    contents: Contents,
    id: &str,
) -> Result<Option<(&'static str, i64)>, sqlx::Error> {
    for (what, query) in contents {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(*query)).bind(id).fetch_one(&mut *db).await?;
        if count > 0 {
            return Ok(Some((what, count)));
        }
    }
    Ok(None)
}
