//! What users, groups, policies, quotas and networks have in common: a name, a description and tags, in the tenancy or a
//! compartment of it.

pub(crate) mod store;

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    caller::{Caller, Owned},
    error::invalid,
    quota::{self, Limit},
    rest::{self, Params, Sort, SortKey},
    retry::{self, Attempt},
    tag::{self, DefinedTags, FreeformTags},
};
use axum::response::Response;
use domain::{CompartmentId, TenantId};
use serde::Serialize;
use sqlx::PgConnection;

/// A kind of entity, with what only it has.
pub(crate) trait Kind: Sized + Send + Sync + 'static {
    /// Its type in policies.
    const RESOURCE: Resource;
    /// What people call it.
    const NOUN: &'static str;
    /// Where it is stored.
    const TABLE: store::Table;

    /// Word of `sortBy` for the name, and the field and query parameter that hold it.
    const NAME: (&'static str, &'static str) = ("NAME", "name");
    /// States in which all of them are, in the kind's words.
    const STATES: &'static [&'static str] = &["ACTIVE"];

    /// What is counted when one is made.
    const LIMIT: Option<Limit> = None;

    /// Refuses one that can't be made now; the transaction is that which makes it.
    fn check_new(&self, _db: &mut PgConnection, _caller: &Caller) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Refuses names that it must not have.
    fn check_name(name: String) -> Result<String, Error> {
        check_name("name", name)
    }

    /// Columns of its own, from a row.
    fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error>;

    /// Columns of its own, as JSON by column name.
    fn write(&self) -> serde_json::Value;
}

/// One entity.
#[derive(Debug, Clone)]
pub(crate) struct Entity<K> {
    pub(crate) id: String,
    pub(crate) tenancy_id: TenantId,
    pub(crate) compartment_id: CompartmentId,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) freeform_tags: FreeformTags,
    pub(crate) defined_tags: DefinedTags,
    pub(crate) version: i64,
    pub(crate) created_ms: i64,
    pub(crate) own: K,
}

impl<K: Kind> Owned for Entity<K> {
    const RESOURCE: Resource = K::RESOURCE;
    const NOUN: &'static str = K::NOUN;

    fn compartment(&self) -> &CompartmentId {
        &self.compartment_id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// What a caller may say of an entity besides its own fields.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) description: Option<String>,
    pub(crate) freeform_tags: Option<FreeformTags>,
    pub(crate) defined_tags: Option<DefinedTags>,
}

impl<K: Kind> Entity<K> {
    pub(crate) fn etag(&self) -> String {
        rest::etag(&self.id, self.version)
    }

    /// A new one, not stored yet; checks all of it.
    pub(crate) fn new(
        cloud: &Cloud,
        caller: &Caller,
        compartment: CompartmentId,
        (id, name): (&str, String),
        change: Change,
        own: K,
    ) -> Result<Self, Error> {
        let mut entity = Self {
            id: id.to_owned(),
            tenancy_id: caller.principal.tenant_id.clone(),
            compartment_id: compartment,
            name: K::check_name(name)?,
            description: String::new(),
            freeform_tags: FreeformTags::new(),
            defined_tags: DefinedTags::new(),
            version: 1,
            created_ms: cloud.now_ms(),
            own,
        };
        entity.change(change)?;
        caller.about(&entity.compartment_id, id, &entity.name);
        Ok(entity)
    }

    /// Applies what an update says.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), Error> {
        if let Some(description) = change.description {
            self.description = check_description(description)?;
        }
        if let Some(tags) = change.freeform_tags {
            self.freeform_tags = tags;
        }
        if let Some(tags) = change.defined_tags {
            self.defined_tags = tags;
        }
        tag::check(&self.freeform_tags, &self.defined_tags)
    }

    /// The caller's entity of that id.
    pub(crate) async fn find(cloud: &Cloud, caller: &Caller, id: &str, verb: Verb) -> Result<Self, Error> {
        caller.admit(verb, store::get::<K>(&cloud.db, &caller.principal.tenant_id, id).await?, id)
    }

    /// The same, locked until the transaction ends, in the version that the caller knows.
    pub(crate) async fn lock(txn: &mut PgConnection, caller: &Caller, id: &str, verb: Verb) -> Result<Self, Error> {
        let entity: Self = caller.admit(verb, store::lock(txn, &caller.principal.tenant_id, id).await?, id)?;
        caller.check_etag(&entity.etag())?;
        Ok(entity)
    }

    /// Stores a new entity, and makes grants take it into account. A repetition of the request gives the first one.
    pub(crate) async fn create(self, cloud: &Cloud, caller: &Caller, body: &[u8]) -> Result<Self, Error> {
        let mut txn = cloud.db.begin().await?;
        let attempt =
            Attempt { tenant: &self.tenancy_id, operation: K::NOUN, token: caller.retry_token.as_deref(), body };
        if let Some(first) = retry::claim(&mut txn, &attempt, &self.id, self.created_ms).await? {
            drop(txn);
            return Self::find(cloud, caller, &first, Verb::Manage).await;
        }
        let wants: Vec<_> = K::LIMIT.into_iter().map(|limit| (limit, 1)).collect();
        quota::claim(&mut txn, caller, &self.compartment_id, &wants).await?;
        self.own.check_new(&mut txn, caller).await?;
        store::insert(&mut txn, &self).await?;
        txn.commit().await?;
        cloud.policies.forget(&self.tenancy_id);
        Ok(self)
    }

    /// Stores what was changed of a locked entity, and makes grants take it into account.
    pub(crate) async fn save(mut self, cloud: &Cloud, mut txn: sqlx::PgTransaction<'_>) -> Result<Self, Error> {
        self.version += 1;
        store::update(&mut txn, &self).await?;
        txn.commit().await?;
        cloud.policies.forget(&self.tenancy_id);
        Ok(self)
    }

    /// Deletes a locked entity, and makes grants take it into account.
    pub(crate) async fn drop(self, cloud: &Cloud, mut txn: sqlx::PgTransaction<'_>) -> Result<(), Error> {
        store::delete::<K>(&mut txn, &self.tenancy_id, &self.id).await?;
        txn.commit().await?;
        cloud.policies.forget(&self.tenancy_id);
        Ok(())
    }

    /// Answers a list; `filters` are query parameters with the columns that must be equal to them.
    pub(crate) async fn list<W: Serialize>(
        cloud: &Cloud,
        caller: &Caller,
        params: &Params,
        filters: &[(&str, &'static str)],
        wire: impl Fn(Self) -> W,
    ) -> Result<Response, Error> {
        let compartment = caller.compartment(params.required("compartmentId")?, Verb::Inspect, K::RESOURCE)?;
        let sorts = [Sort { word: "TIMECREATED", column: "created_ms" }, Sort { word: K::NAME.0, column: "name" }];
        let page = params.page(&sorts, false)?;
        let mut equal = vec![("name", params.get(K::NAME.1))];
        equal.extend(filters.iter().map(|(parameter, column)| (*column, params.get(parameter))));
        // What is gone has no row.
        let state = params.get("lifecycleState").map(str::to_ascii_uppercase);
        let rows = match state.is_none_or(|state| K::STATES.contains(&state.as_str())) {
            true => store::list::<K>(&cloud.db, &caller.principal.tenant_id, &compartment, &equal, &page).await?,
            false => Vec::new(),
        };
        let key = |entity: &Self, column: &str| {
            let key = match column {
                "created_ms" => SortKey::Number(entity.created_ms),
                _ => SortKey::Text(entity.name.clone()),
            };
            (key, entity.id.clone())
        };
        Ok(page.answer(rows, key, wire))
    }
}

/// A name of a compartment, user, group, policy or quota. Source: OCI's rules, with blanks, as its own policies have them.
pub(crate) fn check_name(field: &str, name: String) -> Result<String, Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_@+ ".contains(c);
    let fits = (1..=100).contains(&name.len()) && name.chars().all(allowed) && name.trim() == name;
    let refuse = || invalid(format!("{field} must have 1 to 100 letters, digits, blanks, or any of . - _ @ +"));
    fits.then_some(name).ok_or_else(refuse)
}

/// A description. Source: OCI's rules.
pub(crate) fn check_description(text: String) -> Result<String, Error> {
    let fits = (1..=400).contains(&text.chars().count());
    fits.then_some(text).ok_or_else(|| invalid("description must have 1 to 400 characters"))
}
