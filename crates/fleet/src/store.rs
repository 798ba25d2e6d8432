//! All SQL of the fleet.

use crate::{
    actor::{ClusterNetwork, FleetError},
    address::Range,
    core::{Closure, Core, Effects, Host, Link, Member, Net, Phase, Row},
};
use bytes::Bytes;
use domain::{ClusterId, HostId};
use prost::Message;
use proto::fleet::Placement;
use sealing::Sealer;
use sqlx::{PgPool, Row as _, types::Json};
use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

fn place(uid: &str) -> String {
    format!("placement/{uid}")
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Everything there is.
pub(crate) async fn load(db: &PgPool, sealer: &Sealer, api_backend: &str) -> Result<Core, FleetError> {
    let nets = load_networks(db).await?;
    let hosts = load_hosts(db).await?;
    let rows = load_placements(db, sealer).await?;
    let members = load_members(db).await?;
    Ok(Core::new(nets, members, rows, hosts, api_backend.to_owned()))
}

async fn load_networks(db: &PgPool) -> Result<HashMap<String, Net>, FleetError> {
    let rows = sqlx::query("select id, vni from networks").fetch_all(db).await?;
    let net = |row: &sqlx::postgres::PgRow| Net { vni: vni(row.get("vni")), ..Net::default() };
    Ok(rows.iter().map(|row| (row.get("id"), net(row))).collect())
}

fn vni(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

async fn load_members(db: &PgPool) -> Result<BTreeMap<String, Member>, FleetError> {
    let rows = sqlx::query(
        "select cluster_id, network_id, tenant_id, compartment_id, pod_cidr, service_cidr from network_clusters",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.iter().map(|row| (row.get("cluster_id"), member(row))).collect())
}

fn member(row: &sqlx::postgres::PgRow) -> Member {
    Member {
        network: row.get("network_id"),
        tenant_id: row.get("tenant_id"),
        compartment_id: row.get("compartment_id"),
        pod_cidr: row.get("pod_cidr"),
        service_cidr: row.get("service_cidr"),
    }
}

async fn load_hosts(db: &PgPool) -> Result<HashMap<HostId, Host>, FleetError> {
    let rows = sqlx::query(
        "select id, underlay_address, cpu_milli, memory_bytes, pods, architecture, runtimes, labels, agent_version
           from hosts",
    )
    .fetch_all(db)
    .await?;
    let hosts = rows.iter().map(|row| Host {
        id: HostId(row.get::<String, _>("id").into()),
        underlay_address: row.get("underlay_address"),
        cpu_milli: number(row.get("cpu_milli")),
        memory_bytes: number(row.get("memory_bytes")),
        pods: u32::try_from(row.get::<i32, _>("pods")).unwrap_or(0),
        architecture: row.get("architecture"),
        runtimes: row.get("runtimes"),
        labels: row.get::<Json<BTreeMap<String, String>>, _>("labels").0,
        agent_version: row.get("agent_version"),
        seen: Instant::now(),
        link: Link::Away,
    });
    Ok(hosts.map(|host| (host.id.clone(), host)).collect())
}

async fn load_placements(db: &PgPool, sealer: &Sealer) -> Result<HashMap<String, Row>, FleetError> {
    let rows = sqlx::query(
        "select p.uid, p.phase, p.host_id, p.network_id, p.address, p.ocpu_milli, p.memory_bytes, p.replaceable,
                p.spread_group, p.grace_seconds, p.body, p.availability_domain, p.fault_domain,
                case when p.address_range = '' then n.pod_cidr else p.address_range end as address_range
           from placements p join networks n on n.id = p.network_id",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let uid: String = row.get("uid");
            let unreadable = |_| FleetError::Unavailable(format!("the stored placement {uid} cannot be read"));
            let body = sealer.open(&place(&uid), row.get("body")).map_err(unreadable)?;
            let body = Placement::decode(Bytes::from(body))
                .map_err(|_| FleetError::Unavailable(format!("the stored placement {uid} cannot be read")))?;
            let word: String = row.get("phase");
            let placement = Row {
                body,
                phase: Phase::from_word(&word).expect("the table's check lists the phases"),
                host: row.get::<Option<String>, _>("host_id").map(|id| HostId(id.into())),
                address: row.get("address"),
                network: row.get("network_id"),
                availability_domain: row.get("availability_domain"),
                range: row.get("address_range"),
                fault_domain: row.get("fault_domain"),
                ocpu_milli: number(row.get("ocpu_milli")),
                memory_bytes: number(row.get("memory_bytes")),
                replaceable: row.get("replaceable"),
                spread_group: row.get("spread_group"),
                grace_seconds: u32::try_from(row.get::<i32, _>("grace_seconds")).unwrap_or(0),
                pod_status: Bytes::new(),
                status_generation: 0,
                reason: String::new(),
            };
            Ok((uid, placement))
        })
        .collect()
}

/// The network of that id, made if there is none yet. The columns besides are for programs of before.
pub(crate) async fn ensure_network(db: &PgPool, id: &str, first: &ClusterNetwork) -> Result<Net, FleetError> {
    Range::parse(&first.pod_cidr).map_err(|error| FleetError::Invalid(error.to_string()))?;
    let number: i32 = sqlx::query_scalar(
        "insert into networks (id, tenant_id, compartment_id, pod_cidr, service_cidr) values ($1, $2, $3, $4, $5)
         on conflict (id) do update set id = excluded.id returning vni",
    )
    .bind(id)
    .bind(&first.tenant_id)
    .bind(&first.compartment_id)
    .bind(&first.pod_cidr)
    .bind(&first.service_cidr)
    .fetch_one(db)
    .await?;
    Ok(Net { vni: vni(number), ..Net::default() })
}

/// A cluster's place in its network, noted if it has none yet: one that it has stays, whatever is wanted now.
pub(crate) async fn ensure_member(
    db: &PgPool,
    cluster: &ClusterId,
    wanted: &ClusterNetwork,
) -> Result<Member, FleetError> {
    let row = sqlx::query(
        "insert into network_clusters (cluster_id, network_id, tenant_id, compartment_id, pod_cidr, service_cidr)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (cluster_id) do update set cluster_id = excluded.cluster_id
         returning network_id, tenant_id, compartment_id, pod_cidr, service_cidr",
    )
    .bind(cluster.as_str())
    .bind(&wanted.network_id)
    .bind(&wanted.tenant_id)
    .bind(&wanted.compartment_id)
    .bind(&wanted.pod_cidr)
    .bind(&wanted.service_cidr)
    .fetch_one(db)
    .await?;
    Ok(member(&row))
}

/// Takes a cluster without pods out of its network, and forgets the network with its last cluster and pod.
pub(crate) async fn delete_member(db: &PgPool, cluster: &ClusterId) -> sqlx::Result<()> {
    let network: Option<String> =
        sqlx::query_scalar("delete from network_clusters where cluster_id = $1 returning network_id")
            .bind(cluster.as_str())
            .fetch_optional(db)
            .await?;
    sqlx::query(
        "delete from networks n where id = $1 and not exists (select from placements where network_id = n.id)
            and not exists (select from network_clusters where network_id = n.id)",
    )
    .bind(network)
    .execute(db)
    .await
    .map(|_| ())
}

/// Stores what a batch of moves changed, all or nothing.
pub(crate) async fn save(db: &PgPool, sealer: &Sealer, core: &Core, effects: &Effects) -> sqlx::Result<()> {
    if effects.dirty.is_empty() && effects.hosts_dirty.is_empty() && effects.closures.is_empty() {
        return Ok(());
    }
    let mut txn = db.begin().await?;
    let gone: Vec<&str> =
        effects.dirty.iter().filter(|uid| !core.rows.contains_key(*uid)).map(String::as_str).collect();
    if !gone.is_empty() {
        sqlx::query("delete from placements where uid = any($1)").bind(gone).execute(&mut *txn).await?;
    }
    let kept: Vec<&Row> = effects.dirty.iter().filter_map(|uid| core.rows.get(uid)).collect();
    if !kept.is_empty() {
        upsert_placements(&mut txn, sealer, &kept).await?;
    }
    for host in effects.hosts_dirty.iter().filter_map(|id| core.hosts.get(id)) {
        upsert_host(&mut txn, host).await?;
    }
    if !effects.closures.is_empty() {
        insert_closures(&mut txn, &effects.closures).await?;
    }
    txn.commit().await
}

async fn upsert_placements(db: &mut sqlx::PgConnection, sealer: &Sealer, rows: &[&Row]) -> sqlx::Result<()> {
    fn each<'a, T>(rows: &'a [&Row], value: impl Fn(&'a Row) -> T) -> Vec<T> {
        rows.iter().map(|row| value(row)).collect()
    }
    let bodies = each(rows, |row| sealer.seal(&place(&row.body.uid), &row.body.encode_to_vec()));
    sqlx::query(
        "insert into placements (uid, cluster_id, namespace, name, generation, phase, host_id, network_id, address,
                                 ocpu_milli, memory_bytes, replaceable, spread_group, grace_seconds, body,
                                 address_range, fault_domain, availability_domain)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                              $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::boolean[], $13::text[],
                              $14::integer[], $15::bytea[], $16::text[], $17::text[], $18::text[])
         on conflict (uid) do update set generation = excluded.generation, phase = excluded.phase,
             ocpu_milli = excluded.ocpu_milli, memory_bytes = excluded.memory_bytes,
             host_id = excluded.host_id, address = excluded.address, grace_seconds = excluded.grace_seconds,
             body = excluded.body",
    )
    .bind(each(rows, |row| row.body.uid.as_str()))
    .bind(each(rows, |row| row.body.cluster_id.as_str()))
    .bind(each(rows, |row| row.body.namespace.as_str()))
    .bind(each(rows, |row| row.body.name.as_str()))
    .bind(each(rows, |row| big(row.body.generation)))
    .bind(each(rows, |row| row.phase.word()))
    .bind(each(rows, |row| row.host.as_ref().map(HostId::as_str)))
    .bind(each(rows, |row| row.network.as_str()))
    .bind(each(rows, |row| row.address.as_deref()))
    .bind(each(rows, |row| big(row.ocpu_milli)))
    .bind(each(rows, |row| big(row.memory_bytes)))
    .bind(each(rows, |row| row.replaceable))
    .bind(each(rows, |row| row.spread_group.as_str()))
    .bind(each(rows, |row| i32::try_from(row.grace_seconds).unwrap_or(i32::MAX)))
    .bind(bodies)
    .bind(each(rows, |row| row.range.as_str()))
    .bind(each(rows, |row| row.fault_domain.as_str()))
    .bind(each(rows, |row| row.availability_domain.as_str()))
    .execute(db)
    .await
    .map(|_| ())
}

async fn upsert_host(db: &mut sqlx::PgConnection, host: &Host) -> sqlx::Result<()> {
    sqlx::query(
        "insert into hosts (id, underlay_address, cpu_milli, memory_bytes, pods, architecture, runtimes, labels,
                            agent_version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (id) do update set underlay_address = excluded.underlay_address, cpu_milli = excluded.cpu_milli,
             memory_bytes = excluded.memory_bytes, pods = excluded.pods, architecture = excluded.architecture,
             runtimes = excluded.runtimes, labels = excluded.labels, agent_version = excluded.agent_version,
             last_seen = now()",
    )
    .bind(host.id.as_str())
    .bind(&host.underlay_address)
    .bind(big(host.cpu_milli))
    .bind(big(host.memory_bytes))
    .bind(i32::try_from(host.pods).unwrap_or(i32::MAX))
    .bind(&host.architecture)
    .bind(&host.runtimes)
    .bind(Json(&host.labels))
    .bind(&host.agent_version)
    .execute(db)
    .await
    .map(|_| ())
}

async fn insert_closures(db: &mut sqlx::PgConnection, closures: &[Closure]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into usage_closures (uid, host_id, at_ms, reason)
         select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) on conflict do nothing",
    )
    .bind(closures.iter().map(|c| c.uid.as_str()).collect::<Vec<_>>())
    .bind(closures.iter().map(|c| c.host.as_str()).collect::<Vec<_>>())
    .bind(closures.iter().map(|c| c.at_ms).collect::<Vec<_>>())
    .bind(closures.iter().map(|c| c.reason).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(|_| ())
}

/// Closures that the ledger has not confirmed.
pub(crate) async fn open_closures(db: &PgPool) -> sqlx::Result<Vec<(String, String, i64, String)>> {
    let rows = sqlx::query("select uid, host_id, at_ms, reason from usage_closures limit 500").fetch_all(db).await?;
    Ok(rows.iter().map(|r| (r.get("uid"), r.get("host_id"), r.get("at_ms"), r.get("reason"))).collect())
}

/// Forgets closures that the ledger has confirmed.
pub(crate) async fn confirm_closures(db: &PgPool, confirmed: &[(String, String, i64, String)]) -> sqlx::Result<()> {
    sqlx::query(
        "delete from usage_closures c using unnest($1::text[], $2::text[]) as d (uid, host_id)
          where c.uid = d.uid and c.host_id = d.host_id",
    )
    .bind(confirmed.iter().map(|c| c.0.as_str()).collect::<Vec<_>>())
    .bind(confirmed.iter().map(|c| c.1.as_str()).collect::<Vec<_>>())
    .execute(db)
    .await
    .map(|_| ())
}
