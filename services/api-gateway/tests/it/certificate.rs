//! What is shown at clusters' own host names.

use crate::world::World;
use domain::ClusterId;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::time::Duration;

/// An authority, and a certificate of it for a name, as control answers.
fn signed(name: &str) -> (String, Value) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (authority, json!({"certificate": certificate.pem(), "key": key.serialize_pem()}))
}

/// Whether a client that believes only this authority gets an answer at this name.
async fn believed(world: &World, authority: &str, host: &str) -> bool {
    let ca = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).resolve(host, world.address()).build().unwrap();
    client.get(format!("https://{host}:{}/version", world.address().port())).send().await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_shows_a_certificate_of_its_own_authority() {
    let world = World::start().await;
    let (cluster, other) = (ClusterId::generate(), ClusterId::generate());
    let host = format!("{}.clusters.example", cluster.unique());
    let path = format!("/internal/v1/clusters/{cluster}/certificate");
    let (old, certificate) = signed(&host);
    world.know(&path, certificate);
    assert!(believed(&world, &old, &host).await);
    // At other names, and for clusters that have none, it is the installation's.
    for name in [format!("{}.clusters.example", other.unique()), "localhost".into()] {
        assert!(!believed(&world, &old, &name).await, "{name}");
    }
    let shared = world.authority();
    assert!(believed(&world, &shared, "localhost").await && !believed(&world, &shared, &host).await);
    // Another authority takes over within seconds.
    let (new, certificate) = signed(&host);
    world.know(&path, certificate);
    let mut left = 80;
    while !believed(&world, &new, &host).await {
        left -= 1;
        assert!(left > 0, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!believed(&world, &old, &host).await);
}
