//! SQL of container instances and their containers.

use super::{Container, Instance, InstanceState, PlacedRow, Tags, Wish, shape::Size, view::Seen};
use crate::{
    Error,
    rest::Page,
    sql::{column, compartment, json, word},
};
use domain::{CompartmentId, ContainerInstanceId, TenantId};
use sealing::Sealer;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};

const COLUMNS: &str = "id, tenancy_id, compartment_id, display_name, lifecycle_state, lifecycle_details, ocpus, \
    memory_gb, spec, vnic_id, network_id, address_range, private_ip, wish, run, generation, placement_uid, \
    placement_run, placement_generation, placement_seen, version, work_request_id, created_ms, updated_ms, state_ms";
const CONTAINER_COLUMNS: &str = "c.id, c.instance_id, c.number, c.display_name, c.freeform_tags, c.defined_tags, \
    c.seen, c.version, c.created_ms, c.updated_ms, \
    (select i.compartment_id from container_instances i where i.id = c.instance_id) as compartment_id";

fn place(id: &ContainerInstanceId) -> String {
    format!("container_instance/{id}")
}

fn read(sealer: &Sealer, row: &PgRow) -> Result<Instance, Error> {
    let id: ContainerInstanceId = column(row, "id")?;
    let unreadable = |_| Error::Outside(format!("what is stored of {id} cannot be read"));
    let spec = sealer.open(&place(&id), row.try_get("spec").map_err(Error::Database)?).map_err(unreadable)?;
    let spec =
        serde_json::from_slice(&spec).map_err(|_| Error::Outside(format!("what is stored of {id} is broken")))?;
    Ok(read_with(row, id, spec)?)
}

fn read_with(
    row: &PgRow,
    id: ContainerInstanceId,
    spec: super::wire::CreateInstanceDetails,
) -> Result<Instance, sqlx::Error> {
    let uid: Option<String> = row.try_get("placement_uid")?;
    let placed = uid.map(|uid| {
        let number = |name| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.unwrap_or(0));
        let (run, generation) = (number("placement_run")?, number("placement_generation")?);
        Ok::<_, sqlx::Error>(PlacedRow { uid, run, generation, seen: row.try_get("placement_seen")? })
    });
    let whole = |name| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
    Ok(Instance {
        id,
        tenancy_id: column(row, "tenancy_id")?,
        compartment_id: compartment(row)?,
        display_name: row.try_get("display_name")?,
        state: word(row, "lifecycle_state")?,
        details: row.try_get("lifecycle_details")?,
        size: Size { ocpus: whole("ocpus")?, memory_gb: whole("memory_gb")? },
        spec,
        vnic_id: column(row, "vnic_id")?,
        network_id: row.try_get("network_id")?,
        address_range: row.try_get("address_range")?,
        private_ip: row.try_get("private_ip")?,
        wish: word(row, "wish")?,
        run: row.try_get("run")?,
        generation: row.try_get("generation")?,
        placed: placed.transpose()?,
        version: row.try_get("version")?,
        work_request_id: row.try_get("work_request_id")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        state_ms: row.try_get("state_ms")?,
    })
}

fn read_container(row: &PgRow) -> Result<Container, sqlx::Error> {
    Ok(Container {
        id: column(row, "id")?,
        instance_id: column(row, "instance_id")?,
        compartment_id: compartment(row)?,
        number: usize::try_from(row.try_get::<i32, _>("number")?).unwrap_or(0),
        display_name: row.try_get("display_name")?,
        tags: Tags { freeform: json(row, "freeform_tags")?, defined: json(row, "defined_tags")? },
        seen: json(row, "seen")?,
        version: row.try_get("version")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

fn select(condition: &str) -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("select {COLUMNS} from container_instances where {condition}"))
}

fn sealed(sealer: &Sealer, instance: &Instance) -> Vec<u8> {
    let spec = serde_json::to_vec(&instance.spec).expect("wire types serialise");
    sealer.seal(&place(&instance.id), &spec)
}

/// Stores a new instance and its containers.
pub(super) async fn insert(
    db: &mut PgConnection,
    sealer: &Sealer,
    instance: &Instance,
    containers: &[Container],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into container_instances (id, tenancy_id, compartment_id, display_name, availability_domain,
            lifecycle_state, ocpus, memory_gb, spec, vnic_id, network_id, address_range, wish, run, generation,
            work_request_id, created_ms, state_ms, subnet_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $18)",
    )
    .bind(instance.id.as_str())
    .bind(instance.tenancy_id.as_str())
    .bind(instance.compartment_id.as_str())
    .bind(&instance.display_name)
    .bind(&instance.spec.availability_domain)
    .bind(instance.state.as_str())
    .bind(i64::try_from(instance.size.ocpus).unwrap_or(i64::MAX))
    .bind(i64::try_from(instance.size.memory_gb).unwrap_or(i64::MAX))
    .bind(sealed(sealer, instance))
    .bind(instance.vnic_id.as_str())
    .bind(&instance.network_id)
    .bind(&instance.address_range)
    .bind(instance.wish.as_str())
    .bind(instance.run)
    .bind(instance.generation)
    .bind(&instance.work_request_id)
    .bind(instance.created_ms)
    .bind(instance.spec.vnics.first().and_then(|vnic| vnic.subnet_id.as_deref()).unwrap_or_default())
    .execute(&mut *db)
    .await?;
    for container in containers {
        insert_container(db, container).await?;
    }
    Ok(())
}

async fn insert_container(db: &mut PgConnection, container: &Container) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into containers (id, instance_id, number, display_name, freeform_tags, defined_tags, lifecycle_state,
            seen, created_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(container.id.as_str())
    .bind(container.instance_id.as_str())
    .bind(i32::try_from(container.number).unwrap_or(i32::MAX))
    .bind(&container.display_name)
    .bind(Json(&container.tags.freeform))
    .bind(Json(&container.tags.defined))
    .bind(container.seen.state.as_str())
    .bind(Json(&container.seen))
    .bind(container.created_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// Stores what a caller changed.
pub(super) async fn update(db: &mut PgConnection, sealer: &Sealer, instance: &Instance) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update container_instances set compartment_id = $2, display_name = $3, spec = $4, lifecycle_state = $5,
                lifecycle_details = null, wish = $6, run = $7, generation = $8, work_request_id = $9, updated_ms = $10,
                state_ms = $11, version = version + 1
          where id = $1",
    )
    .bind(instance.id.as_str())
    .bind(instance.compartment_id.as_str())
    .bind(&instance.display_name)
    .bind(sealed(sealer, instance))
    .bind(instance.state.as_str())
    .bind(instance.wish.as_str())
    .bind(instance.run)
    .bind(instance.generation)
    .bind(&instance.work_request_id)
    .bind(instance.updated_ms)
    .bind(instance.state_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// How the reconciler leaves an instance; false if a caller changed it since `instance` was read.
pub(super) async fn settle(db: &mut PgConnection, instance: &Instance) -> Result<bool, sqlx::Error> {
    let placed = instance.placed.as_ref();
    let done = sqlx::query(
        "update container_instances set lifecycle_state = $3, lifecycle_details = $4, wish = $5, placement_uid = $6,
                placement_run = $7, placement_generation = $8, placement_seen = $9, private_ip = $10,
                work_request_id = $11, state_ms = $12,
                version = version + case when lifecycle_state = $3 then 0 else 1 end
          where id = $1 and version = $2",
    )
    .bind(instance.id.as_str())
    .bind(instance.version)
    .bind(instance.state.as_str())
    .bind(&instance.details)
    .bind(instance.wish.as_str())
    .bind(placed.map(|placed| placed.uid.as_str()))
    .bind(placed.map(|placed| placed.run))
    .bind(placed.map(|placed| placed.generation))
    .bind(placed.is_some_and(|placed| placed.seen))
    .bind(&instance.private_ip)
    .bind(&instance.work_request_id)
    .bind(instance.state_ms)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores how a container is.
pub(super) async fn see(db: &mut PgConnection, container: &Container, seen: &Seen) -> Result<(), sqlx::Error> {
    sqlx::query("update containers set lifecycle_state = $2, seen = $3 where id = $1")
        .bind(container.id.as_str())
        .bind(seen.state.as_str())
        .bind(Json(seen))
        .execute(db)
        .await?;
    Ok(())
}

/// Stores what a caller changed of a container.
pub(super) async fn update_container(db: &mut PgConnection, container: &Container) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update containers set display_name = $2, freeform_tags = $3, defined_tags = $4, updated_ms = $5,
                version = version + 1
          where id = $1",
    )
    .bind(container.id.as_str())
    .bind(&container.display_name)
    .bind(Json(&container.tags.freeform))
    .bind(Json(&container.tags.defined))
    .bind(container.updated_ms)
    .execute(db)
    .await?;
    Ok(())
}

/// The tenant's instance of that id, deleted ones too.
pub(super) async fn get(db: &PgPool, sealer: &Sealer, tenant: &TenantId, id: &str) -> Result<Option<Instance>, Error> {
    let mut query = select("tenancy_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(|row| read(sealer, row)).transpose()
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(
    db: &mut PgConnection,
    sealer: &Sealer,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Instance>, Error> {
    let mut query = select("tenancy_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" and id = ").push_bind(id.to_owned()).push(" for update");
    query.build().fetch_optional(db).await?.as_ref().map(|row| read(sealer, row)).transpose()
}

/// The instance of that id, whoever owns it: for the reconciler.
pub(super) async fn get_all_tenants(
    db: impl PgExecutor<'_>,
    sealer: &Sealer,
    id: &ContainerInstanceId,
) -> Result<Option<Instance>, Error> {
    let mut query = select("id = ");
    query.push_bind(id.as_str().to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(|row| read(sealer, row)).transpose()
}

/// Instances of these ids: for the lists of their containers.
pub(super) async fn get_many(db: &PgPool, sealer: &Sealer, ids: Vec<String>) -> Result<Vec<Instance>, Error> {
    let mut query = select("id = any(");
    query.push_bind(ids).push(")");
    query.build().fetch_all(db).await?.iter().map(|row| read(sealer, row)).collect()
}

/// Containers of an instance, in the request's order.
pub(super) async fn containers(
    db: impl PgExecutor<'_>,
    instance: &ContainerInstanceId,
) -> Result<Vec<Container>, sqlx::Error> {
    let text = format!("select {CONTAINER_COLUMNS} from containers c where c.instance_id = ");
    let mut query = QueryBuilder::<Postgres>::new(text);
    query.push_bind(instance.as_str().to_owned()).push(" order by c.number");
    query.build().fetch_all(db).await?.iter().map(read_container).collect()
}

/// The tenant's container of that id.
pub(super) async fn container(
    db: impl PgExecutor<'_>,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Container>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "select {CONTAINER_COLUMNS} from containers c join container_instances i on i.id = c.instance_id
          where i.tenancy_id = "
    ));
    query.push_bind(tenant.as_str().to_owned()).push(" and c.id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read_container).transpose()
}

/// Which instances or containers a list shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) instance_id: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) availability_domain: Option<String>,
    pub(super) states: Vec<InstanceState>,
}

fn states(filter: &Filter) -> Option<Vec<String>> {
    let words = filter.states.iter().map(|state| state.as_str().to_owned());
    (!filter.states.is_empty()).then(|| words.collect())
}

pub(super) async fn list(
    db: &PgPool,
    sealer: &Sealer,
    compartment: &CompartmentId,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Instance>, Error> {
    let mut query = select("compartment_id = ");
    query.push_bind(compartment.as_str().to_owned());
    let equal =
        [(" and display_name = ", &filter.display_name), (" and availability_domain = ", &filter.availability_domain)];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if let Some(words) = states(filter) {
        query.push(" and lifecycle_state = any(").push_bind(words).push(")");
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(|row| read(sealer, row)).collect()
}

pub(super) async fn list_containers(
    db: &PgPool,
    compartment: &CompartmentId,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Container>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "select {CONTAINER_COLUMNS} from containers c where c.instance_id in
            (select i.id from container_instances i where i.compartment_id = "
    ));
    query.push_bind(compartment.as_str().to_owned());
    if let Some(domain) = &filter.availability_domain {
        query.push(" and i.availability_domain = ").push_bind(domain.clone());
    }
    query.push(")");
    for (condition, value) in
        [(" and c.instance_id = ", &filter.instance_id), (" and c.display_name = ", &filter.display_name)]
    {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if let Some(words) = states(filter) {
        query.push(" and c.lifecycle_state = any(").push_bind(words).push(")");
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read_container).collect()
}

/// Instances that may need a look: those in a state that they must leave, and those that the fleet has, or should have.
pub(crate) async fn unsettled_all_tenants(db: &PgPool) -> Result<Vec<ContainerInstanceId>, sqlx::Error> {
    let rows = sqlx::query(
        "select id from container_instances
          where lifecycle_state in ('CREATING', 'UPDATING', 'DELETING') or placement_uid is not null
             or (wish = 'RUN' and lifecycle_state = 'ACTIVE')",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| column(row, "id")).collect()
}

/// Forgets instances that were deleted before `before_ms`, with their containers.
pub(crate) async fn purge_all_tenants(db: &PgPool, before_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query("delete from container_instances where lifecycle_state = 'DELETED' and state_ms < $1 and wish = $2")
        .bind(before_ms)
        .bind(Wish::Delete.as_str())
        .execute(db)
        .await?;
    Ok(())
}
