//! A cluster's certificate authorities: they sign what the gateway shows at the cluster's own host name. One per
//! generation of the cluster's credentials, made at first use; private keys lie sealed.

pub(crate) mod api;
mod store;

use super::Cluster;
use crate::{Cloud, Error, HostNames};
use domain::ClusterId;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube_api::ClusterDirectory;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use sqlx::PgConnection;
use std::sync::Arc;

/// How long an authority is good. Source: OKE's credentials, five years.
const AUTHORITY_DAYS: i64 = 5 * 365;
/// How long a certificate for a host name is good.
const LEAF_DAYS: i64 = 3;
/// After how long the next one is made.
const LEAF_AGE_MS: i64 = 24 * 3600 * 1000;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An authority as it is stored.
#[derive(Debug)]
struct Authority {
    certificate_pem: String,
    sealed_key: Vec<u8>,
}

/// A certificate for a cluster's host name. Its key is for the gateway alone.
pub(crate) struct Leaf {
    generation: u32,
    made_ms: i64,
    certificate_pem: String,
    key_pem: String,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leaf(generation {}, ***)", self.generation)
    }
}

/// PEM of all authorities of a cluster that are good: what a kubeconfig believes.
pub(crate) async fn bundle(cloud: &Cloud, names: &HostNames, cluster: &Cluster) -> Result<String, Error> {
    let mut bundle = String::new();
    for generation in cluster.keys.oldest..=cluster.keys.current {
        bundle += &authority(cloud, names, &cluster.id, generation).await?.certificate_pem;
    }
    Ok(bundle)
}

/// The certificate that the gateway shows at a cluster's host name; `None` if there is no such cluster. The oldest
/// authority that is good signs it: who has a kubeconfig from before a rotation believes no other yet.
async fn certificate(cloud: &Cloud, names: &HostNames, id: &ClusterId) -> Result<Option<Arc<Leaf>>, Error> {
    let Some(facts) = cloud.directory.facts(id).await.map_err(Error::Outside)? else { return Ok(None) };
    let (generation, now) = (facts.keys.oldest, cloud.now_ms());
    let fresh = |leaf: &Arc<Leaf>| leaf.generation == generation && now - leaf.made_ms < LEAF_AGE_MS;
    if let Some(leaf) = cloud.leaves.get(id).filter(|leaf| fresh(leaf)) {
        return Ok(Some(Arc::clone(&leaf)));
    }
    let authority = authority(cloud, names, id, generation).await?;
    let key = names.sealer.open(&place(id, generation), &authority.sealed_key).map_err(outside)?;
    let key = String::from_utf8(key).map_err(outside)?;
    let (certificate_pem, key_pem) = sign(names, id, (&authority.certificate_pem, &key), now).map_err(outside)?;
    let leaf = Arc::new(Leaf { generation, made_ms: now, certificate_pem, key_pem });
    cloud.leaves.insert(id.clone(), Arc::clone(&leaf));
    Ok(Some(leaf))
}

/// Forgets the authorities of generations before this one.
pub(super) async fn retire(db: &mut PgConnection, id: &ClusterId, before: u32) -> Result<(), sqlx::Error> {
    store::delete_before(db, id, before).await
}

/// An authority, made if there is none of that generation yet.
async fn authority(cloud: &Cloud, names: &HostNames, id: &ClusterId, generation: u32) -> Result<Authority, Error> {
    if let Some(found) = store::get(&cloud.db, id, generation).await? {
        return Ok(found);
    }
    let (certificate_pem, key) = generate(id, generation, cloud.now_ms()).map_err(outside)?;
    let sealed_key = names.sealer.seal(&place(id, generation), key.as_bytes());
    store::insert(&cloud.db, id, generation, &Authority { certificate_pem, sealed_key }).await?;
    // Another replica may have been first.
    let stored = store::get(&cloud.db, id, generation).await?;
    stored.ok_or_else(|| Error::Outside("the cluster's authority is gone again".into()))
}

fn outside(error: impl std::fmt::Display) -> Error {
    Error::Outside(format!("could not make a certificate: {error}"))
}

/// Where a key is sealed for.
fn place(id: &ClusterId, generation: u32) -> String {
    format!("authority/{id}/{generation}")
}

fn valid(parameters: &mut CertificateParams, now_ms: i64, days: i64) -> Result<(), jiff::Error> {
    let day = |days: i64| {
        let at = Timestamp::from_millisecond(now_ms)?.checked_add(DAY * i32::try_from(days).unwrap_or(i32::MAX))?;
        let date = at.to_zoned(TimeZone::UTC).date();
        Ok::<_, jiff::Error>(date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        ))
    };
    // Clocks of clients may be behind.
    (parameters.not_before, parameters.not_after) = (day(-1)?, day(days)?);
    Ok(())
}

/// A new authority: certificate and key, as PEM.
fn generate(id: &ClusterId, generation: u32, now_ms: i64) -> anyhow::Result<(String, String)> {
    let mut parameters = CertificateParams::default();
    let name = format!("hako {} {generation}", id.unique().get(..24).unwrap_or_default());
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut parameters, now_ms, AUTHORITY_DAYS)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A certificate for a cluster's host name, and its key, as PEM.
fn sign(
    names: &HostNames,
    id: &ClusterId,
    (authority, key): (&str, &str),
    now_ms: i64,
) -> anyhow::Result<(String, String)> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(key)?)?;
    let mut parameters = CertificateParams::new([names.host(id)])?;
    // A common name has at most 64 characters, and nobody looks at it: the host name is an alternative name.
    parameters.distinguished_name.push(DnType::CommonName, "hako cluster");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    valid(&mut parameters, now_ms, LEAF_DAYS)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}
