//! Compartments: a tree below the tenancy, by which permission and cost are split.

pub(crate) mod api;
pub(crate) mod store;

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    caller::{Caller, Owned},
    entity,
    error::{invalid, not_found},
    quota, rest,
    tag::{self, DefinedTags, FreeformTags},
};
use api::{CreateCompartmentDetails, MoveCompartmentDetails, UpdateCompartmentDetails};
use domain::{CompartmentId, TenantId};
use problem::oci;

/// Levels of compartments below the root. Source: OCI, six.
const MAX_LEVELS: usize = 6;

/// One compartment.
#[derive(Debug, Clone)]
pub(crate) struct Compartment {
    pub(crate) id: CompartmentId,
    pub(crate) tenancy_id: TenantId,
    pub(crate) parent_id: CompartmentId,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) active: bool,
    pub(crate) freeform_tags: FreeformTags,
    pub(crate) defined_tags: DefinedTags,
    pub(crate) version: i64,
    pub(crate) created_ms: i64,
}

impl Owned for Compartment {
    const RESOURCE: Resource = Resource::Compartments;
    const NOUN: &'static str = "compartment";

    /// What may be done to it is decided in it: its parent's statements reach it too.
    fn compartment(&self) -> &CompartmentId {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Compartment {
    fn etag(&self) -> String {
        rest::etag(self.id.as_str(), self.version)
    }
}

async fn create(cloud: &Cloud, caller: &Caller, body: &[u8]) -> Result<Compartment, Error> {
    let details: CreateCompartmentDetails = rest::body(body)?;
    let parent = caller.compartment_for_new(&details.compartment_id, Resource::Compartments)?;
    if caller.grants.path(&parent).count() > MAX_LEVELS {
        return Err(invalid(format!("compartmentId: compartments may be {MAX_LEVELS} levels deep")));
    }
    let compartment = Compartment {
        id: CompartmentId::generate(),
        tenancy_id: caller.principal.tenant_id.clone(),
        parent_id: parent,
        name: entity::check_name("name", details.name)?,
        description: entity::check_description(details.description)?,
        active: true,
        freeform_tags: details.freeform_tags.unwrap_or_default(),
        defined_tags: details.defined_tags.unwrap_or_default(),
        version: 1,
        created_ms: cloud.now_ms(),
    };
    tag::check(&compartment.freeform_tags, &compartment.defined_tags)?;
    caller.about(&compartment.parent_id, compartment.id.as_str(), &compartment.name);
    let mut txn = cloud.db.begin().await?;
    quota::lock_compartment(&mut txn, &compartment.tenancy_id, &compartment.parent_id).await?;
    store::insert(&mut txn, &compartment).await?;
    txn.commit().await?;
    cloud.policies.forget(&compartment.tenancy_id);
    Ok(compartment)
}

async fn update(cloud: &Cloud, caller: &Caller, id: &str, body: &[u8]) -> Result<Compartment, Error> {
    let details: UpdateCompartmentDetails = rest::body(body)?;
    let mut txn = cloud.db.begin().await?;
    let mut compartment = lock(&mut txn, caller, id, Verb::Use).await?;
    caller.check_etag(&compartment.etag())?;
    if let Some(name) = details.name {
        compartment.name = entity::check_name("name", name)?;
    }
    if let Some(description) = details.description {
        compartment.description = entity::check_description(description)?;
    }
    compartment.freeform_tags = details.freeform_tags.unwrap_or(compartment.freeform_tags);
    compartment.defined_tags = details.defined_tags.unwrap_or(compartment.defined_tags);
    tag::check(&compartment.freeform_tags, &compartment.defined_tags)?;
    compartment.version += 1;
    store::update(&mut txn, &compartment).await?;
    txn.commit().await?;
    cloud.policies.forget(&compartment.tenancy_id);
    Ok(compartment)
}

/// Deletes a compartment in which nothing is left.
async fn delete(cloud: &Cloud, caller: &Caller, id: &str) -> Result<(), Error> {
    let mut txn = cloud.db.begin().await?;
    // Whatever is made in it takes the same lock first: nothing comes in between.
    quota::lock_tenancy(&mut txn, &caller.principal.tenant_id).await?;
    let mut compartment = lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&compartment.etag())?;
    if let Some((what, count)) = store::contents(&mut txn, &compartment.id).await?.into_iter().find(|(_, n)| *n > 0) {
        let message = format!("the compartment is not empty: it has {count} {what}; delete or move them first");
        return Err(oci::Error::incorrect_state(message).into());
    }
    compartment.active = false;
    compartment.version += 1;
    store::bury(&mut txn, &compartment, cloud.now_ms()).await?;
    txn.commit().await?;
    cloud.policies.forget(&compartment.tenancy_id);
    Ok(())
}

/// Hangs a compartment below another one.
async fn relocate(cloud: &Cloud, caller: &Caller, id: &str, body: &[u8]) -> Result<(), Error> {
    let details: MoveCompartmentDetails = rest::body(body)?;
    let target = caller.compartment_for_new(&details.target_compartment_id, Resource::Compartments)?;
    let mut txn = cloud.db.begin().await?;
    quota::lock_compartment(&mut txn, &caller.principal.tenant_id, &target).await?;
    let mut compartment = lock(&mut txn, caller, id, Verb::Manage).await?;
    caller.check_etag(&compartment.etag())?;
    if caller.grants.is_within(&target, &compartment.id) {
        return Err(invalid("targetCompartmentId: a compartment can't be moved into itself"));
    }
    if caller.grants.path(&target).count() + caller.grants.depth_below(&compartment.id) > MAX_LEVELS + 1 {
        return Err(invalid(format!("targetCompartmentId: compartments may be {MAX_LEVELS} levels deep")));
    }
    compartment.parent_id = target;
    compartment.version += 1;
    store::update(&mut txn, &compartment).await?;
    txn.commit().await?;
    cloud.policies.forget(&compartment.tenancy_id);
    Ok(())
}

/// The root compartment as a compartment.
async fn root(cloud: &Cloud, tenant: &TenantId) -> Result<Option<Compartment>, Error> {
    let found = super::store::tenancy(&cloud.db, tenant).await?;
    let id = CompartmentId::root(tenant);
    Ok(found.map(|(name, created_ms)| Compartment {
        parent_id: id.clone(),
        id,
        tenancy_id: tenant.clone(),
        description: format!("The root compartment of {name}"),
        name,
        active: true,
        freeform_tags: FreeformTags::new(),
        defined_tags: DefinedTags::new(),
        version: 1,
        created_ms,
    }))
}

async fn find(cloud: &Cloud, caller: &Caller, id: &str) -> Result<Compartment, Error> {
    let tenant = &caller.principal.tenant_id;
    let found = match id == tenant.as_str() {
        true => root(cloud, tenant).await?,
        false => store::get(&cloud.db, tenant, id).await?,
    };
    caller.admit(Verb::Inspect, found, id)
}

async fn lock(txn: &mut sqlx::PgConnection, caller: &Caller, id: &str, verb: Verb) -> Result<Compartment, Error> {
    if id == caller.principal.tenant_id.as_str() {
        return Err(invalid("the root compartment can't be changed"));
    }
    let compartment = caller.admit(verb, store::lock(txn, &caller.principal.tenant_id, id).await?, id)?;
    if compartment.active { Ok(compartment) } else { Err(not_found(Compartment::NOUN, id)) }
}
