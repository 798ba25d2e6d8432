//! Tenancies, users and their API keys: who a caller is.

pub(crate) mod api;
mod api_key;
mod compartment;
mod group;
mod key;
mod membership;
mod place;
mod policy;
mod store;
mod user;

pub use key::{KeyError, PublicKey};

use crate::{
    Cloud, Error,
    access::{Resource, Verb},
    caller::Caller,
    error::invalid,
};
use domain::{CompartmentId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Group of a tenancy's first user; may do everything in it.
pub const ADMINISTRATORS: &str = "Administrators";

/// Name of the policy by which they may; it can't be changed. Source: OCI's name for it.
pub(crate) const ADMIN_POLICY: &str = "Tenant Admin Policy";

/// Owner of an API key, as the gateway needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwner {
    /// The key's fingerprint.
    pub kid: String,
    /// Tenancy of the user.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    pub user_name: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// SubjectPublicKeyInfo as PEM.
    pub public_key: String,
}

/// A user found by name, as the gateway needs it for callers whom an identity provider outside vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserNamed {
    /// Tenancy of the user.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    pub user_name: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

/// One key of a user, by both of its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootstrappedKey {
    /// `kid` of the tokens that it signs.
    pub kid: String,
    /// The key as OCI's clients name it: the MD5 of its DER form.
    pub fingerprint: String,
}

/// What [`bootstrap`] made or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrapped {
    /// The tenancy's OCID.
    pub tenancy_id: TenantId,
    /// Its name.
    pub tenancy_name: String,
    /// The user's OCID.
    pub user_id: UserId,
    /// The user's name.
    pub user_name: String,
    /// The root compartment: the tenancy's own OCID.
    pub compartment_id: CompartmentId,
    /// Fingerprint of the first key; `kid` of its tokens.
    pub fingerprint: String,
    /// All keys, in the order in which they were given.
    pub keys: Vec<BootstrappedKey>,
}

/// Why a tenancy could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The key is no usable public key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another user has this key: then tokens would not say whose they are.
    #[error("the public key {0} belongs to another user already; make a new key pair")]
    KeyTaken(String),
    /// A name that is not allowed.
    #[error("{what} must have 1 to 100 letters, digits, or any of . - _ @, not {name:?}")]
    Name {
        /// Which name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes a tenancy with an administrator and its API keys, of which there is at least one; what exists already stays and
/// is returned.
///
/// # Errors
/// If a name or a key cannot be used, or the database fails; then nothing has changed.
pub async fn bootstrap(
    db: &PgPool,
    tenancy: &str,
    user: &str,
    public_keys_pem: &[String],
    now_ms: i64,
) -> Result<Bootstrapped, BootstrapError> {
    check_name("the tenancy's name", tenancy)?;
    check_name("the user's name", user)?;
    let keys: Vec<PublicKey> =
        public_keys_pem.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<_, KeyError>>()?;
    let first = keys.first().ok_or(KeyError::NotPem)?.fingerprint();
    let mut txn = db.begin().await?;
    let tenancy_id = store::ensure_tenancy(&mut txn, &TenantId::generate(), tenancy, now_ms).await?;
    let user_id = store::ensure_user(&mut txn, &UserId::generate(), &tenancy_id, user, now_ms).await?;
    store::ensure_administrators(&mut txn, &tenancy_id, &user_id, now_ms).await?;
    let mut registered = Vec::with_capacity(keys.len());
    for key in keys {
        let kid = key.fingerprint();
        let (owner, fingerprint) = store::ensure_key(&mut txn, &kid, &user_id, &key.to_pem(), now_ms).await?;
        if owner != user_id {
            return Err(BootstrapError::KeyTaken(kid));
        }
        registered.push(BootstrappedKey { kid, fingerprint });
    }
    txn.commit().await?;
    Ok(Bootstrapped {
        compartment_id: CompartmentId::root(&tenancy_id),
        tenancy_id,
        tenancy_name: tenancy.to_owned(),
        user_id,
        user_name: user.to_owned(),
        fingerprint: first,
        keys: registered,
    })
}

/// All routes of identity.
pub(crate) fn routes() -> OpenApiRouter<Arc<Cloud>> {
    OpenApiRouter::new()
        .merge(compartment::api::routes())
        .merge(user::routes())
        .merge(api_key::routes())
        .merge(group::routes())
        .merge(membership::routes())
        .merge(policy::routes())
        .merge(place::routes())
}

/// The tenancy that a new user or group should be in: the caller's.
fn tenancy_of(caller: &Caller, id: &str, resource: Resource) -> Result<CompartmentId, Error> {
    let compartment = caller.compartment(id, Verb::Manage, resource)?;
    if compartment == CompartmentId::root(&caller.principal.tenant_id) {
        return Ok(compartment);
    }
    Err(invalid("compartmentId must be the tenancy: users and groups lie there"))
}

fn check_name(what: &'static str, name: &str) -> Result<(), BootstrapError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    let fits = (1..=100).contains(&name.len()) && name.chars().all(allowed);
    if fits { Ok(()) } else { Err(BootstrapError::Name { what, name: name.chars().take(100).collect() }) }
}
