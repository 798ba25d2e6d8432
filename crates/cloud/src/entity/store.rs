//! SQL of entities: the same statements over tables that differ in a few columns.

use super::{Entity, Kind};
use crate::{
    Error,
    rest::Page,
    sql::{column, compartment, json, unique},
};
use domain::{CompartmentId, TenantId};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};

/// One of the tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Columns that only it has, with their types.
    pub(crate) own: &'static [(&'static str, &'static str)],
    /// True if its rows lie in compartments; otherwise in the tenancy.
    pub(crate) in_compartments: bool,
    /// The constraint that keeps names unique.
    pub(crate) unique: &'static str,
}

impl Table {
    fn compartment(self) -> &'static str {
        if self.in_compartments { "compartment_id" } else { "tenancy_id" }
    }

    /// The table's own columns, each after `before`.
    fn columns(self, before: &str) -> String {
        self.own.iter().map(|(name, _)| format!(", {before}{name}")).collect()
    }

    fn select(self, tenant: &TenantId) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new(format!(
            "select id, tenancy_id, {} as compartment_id, name, description, freeform_tags, defined_tags, version,
                    created_ms{} from {} where tenancy_id = ",
            self.compartment(),
            self.columns(""),
            self.name
        ));
        query.push_bind(tenant.as_str().to_owned());
        query
    }

    /// A record of the table's own columns, out of the JSON parameter `$n`.
    fn record(self, parameter: &str) -> String {
        let columns: Vec<String> = self.own.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        match columns.is_empty() {
            true => format!("(select {parameter}::jsonb) as own"),
            false => format!("jsonb_to_record({parameter}) as own({})", columns.join(", ")),
        }
    }
}

fn read<K: Kind>(row: &PgRow) -> Result<Entity<K>, sqlx::Error> {
    Ok(Entity {
        id: row.try_get("id")?,
        tenancy_id: column(row, "tenancy_id")?,
        compartment_id: compartment(row)?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        freeform_tags: json(row, "freeform_tags")?,
        defined_tags: json(row, "defined_tags")?,
        version: row.try_get("version")?,
        created_ms: row.try_get("created_ms")?,
        own: K::read(row)?,
    })
}

fn taken<K: Kind>(error: sqlx::Error) -> Error {
    unique(error, K::TABLE.unique, &format!("a {} of this name exists already", K::NOUN))
}

/// Stores a new entity.
pub(crate) async fn insert<K: Kind>(db: &mut PgConnection, entity: &Entity<K>) -> Result<(), Error> {
    let table = K::TABLE;
    let (place, value) = if table.in_compartments { (", compartment_id", ", $8") } else { ("", "") };
    let statement = format!(
        "insert into {} (id, tenancy_id, name, description, freeform_tags, defined_tags, created_ms{place}{})
         select $1, $2, $3, $4, $5, $6, $7{value}{} from (select $8::text as place, $9::jsonb as record) as given, {}",
        table.name,
        table.columns(""),
        table.columns("own."),
        table.record("$9")
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(&entity.id)
        .bind(entity.tenancy_id.as_str())
        .bind(&entity.name)
        .bind(&entity.description)
        .bind(Json(&entity.freeform_tags))
        .bind(Json(&entity.defined_tags))
        .bind(entity.created_ms)
        .bind(entity.compartment_id.as_str())
        .bind(entity.own.write())
        .execute(db)
        .await
        .map_err(taken::<K>)?;
    Ok(())
}

/// Stores what was changed.
pub(crate) async fn update<K: Kind>(db: &mut PgConnection, entity: &Entity<K>) -> Result<(), Error> {
    let table = K::TABLE;
    let own: String = table.own.iter().map(|(name, _)| format!(", {name} = own.{name}")).collect();
    let statement = format!(
        "update {} as entity set name = $3, description = $4, freeform_tags = $5, defined_tags = $6, version = $7{own}
           from {} where entity.tenancy_id = $1 and entity.id = $2",
        table.name,
        table.record("$8")
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(entity.tenancy_id.as_str())
        .bind(&entity.id)
        .bind(&entity.name)
        .bind(&entity.description)
        .bind(Json(&entity.freeform_tags))
        .bind(Json(&entity.defined_tags))
        .bind(entity.version)
        .bind(entity.own.write())
        .execute(db)
        .await
        .map_err(taken::<K>)?;
    Ok(())
}

/// Deletes it.
pub(crate) async fn delete<K: Kind>(db: &mut PgConnection, tenant: &TenantId, id: &str) -> Result<(), sqlx::Error> {
    let statement = format!("delete from {} where tenancy_id = $1 and id = $2", K::TABLE.name);
    sqlx::query(AssertSqlSafe(statement)).bind(tenant.as_str()).bind(id).execute(db).await?;
    Ok(())
}

/// The tenant's entity of that id.
pub(crate) async fn get<K: Kind>(db: &PgPool, tenant: &TenantId, id: &str) -> Result<Option<Entity<K>>, sqlx::Error> {
    let mut query = K::TABLE.select(tenant);
    query.push(" and id = ").push_bind(id.to_owned());
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock<K: Kind>(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Entity<K>>, sqlx::Error> {
    let mut query = K::TABLE.select(tenant);
    query.push(" and id = ").push_bind(id.to_owned()).push(" for update");
    query.build().fetch_optional(db).await?.as_ref().map(read).transpose()
}

pub(crate) async fn list<K: Kind>(
    db: &PgPool,
    tenant: &TenantId,
    compartment: &CompartmentId,
    equal: &[(&'static str, Option<&str>)],
    page: &Page,
) -> Result<Vec<Entity<K>>, sqlx::Error> {
    let mut query = K::TABLE.select(tenant);
    query.push(format!(" and {} = ", K::TABLE.compartment())).push_bind(compartment.as_str().to_owned());
    for (column, value) in equal {
        if let Some(value) = value {
            query.push(format!(" and {column} = ")).push_bind((*value).to_owned());
        }
    }
    page.push(&mut query);
    query.build().fetch_all(db).await?.iter().map(read).collect()
}
