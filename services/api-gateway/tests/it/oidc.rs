//! Tokens of identity providers outside.

use crate::{provider::Provider, world::World};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::TenantId;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const PATH: &str = "/20180222/clusters";

async fn start(provider: &Provider, tenant: &TenantId) -> World {
    World::start_with(&format!(
        "[[oidc]]\nissuer = '{}'\naudience = 'hako-test'\ntenancy = '{tenant}'\nusername_claim = 'email'\n\
         groups_claim = 'roles'\nca = '{}'\n[oidc.groups]\nops = 'Operators'\n",
        provider.issuer(),
        provider.ca.display()
    ))
    .await
}

fn claims(provider: &Provider, change: Value) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({
        "iss": provider.issuer(), "aud": "hako-test", "sub": "1234", "iat": now, "exp": now + 300,
        "email": "ann@b.example", "email_verified": true, "roles": ["ops", "Administrators"],
    });
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_provider_stands_for_the_tenancys_user_of_that_name() {
    let (provider, tenant) = (Provider::start().await, TenantId::generate());
    let world = start(&provider, &tenant).await;
    world.register_user(&tenant, "ann@b.example");
    let token = provider.signer().sign(&claims(&provider, json!({})));
    let answer = world.get(PATH, &token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let principal = answer.json::<Value>().await.unwrap()["principal"].clone();
    assert_eq!((&principal["tenantId"], &principal["userName"]), (&json!(tenant), &json!("ann@b.example")));
    // What the token says is mapped: it does not make its user an administrator.
    assert_eq!(principal["groups"], json!(["Everybody", "Operators"]));
    let several = provider.signer().sign(&claims(&provider, json!({"aud": ["x", "hako-test"]})));
    assert_eq!(world.get(PATH, &several).send().await.unwrap().status(), 200);
    let unknown = provider.signer().sign(&claims(&provider, json!({"email": "eve@b.example"})));
    assert_eq!(world.get(PATH, &unknown).send().await.unwrap().status(), 401);
    // A user is good for all of the tenancy's clusters, but is no pod.
    let cluster = domain::ClusterId::generate();
    assert_eq!(world.get(&format!("/clusters/{cluster}/api"), &token).send().await.unwrap().status(), 200);
    assert_eq!(world.get("/api", &token).send().await.unwrap().status(), 401);
    assert_eq!(provider.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_quite_right_are_refused() {
    let (provider, tenant) = (Provider::start().await, TenantId::generate());
    let world = start(&provider, &tenant).await;
    world.register_user(&tenant, "ann@b.example");
    let (signer, now) = (provider.signer(), jiff::Timestamp::now().as_second());
    for change in [
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"exp": now - 60}),
        json!({"exp": null}),
        json!({"nbf": now + 120}),
        json!({"iss": "https://localhost:1/realm"}),
        json!({"iss": format!("{}/", provider.issuer())}),
        json!({"email_verified": false}),
        json!({"email": null}),
    ] {
        let token = signer.sign(&claims(&provider, change.clone()));
        assert_eq!(world.get(PATH, &token).send().await.unwrap().status(), 401, "{change}");
    }
    let good = claims(&provider, json!({}));
    let with = |algorithm: Algorithm, key: &EncodingKey| {
        let head = Header { kid: Some(signer.kid().into()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&head, &good, key).unwrap()
    };
    // A secret that everybody knows, and no signature at all.
    let confused = with(Algorithm::HS256, &EncodingKey::from_secret(&signer.public()));
    let head = json!({"alg": "none", "kid": signer.kid()}).to_string();
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(good.to_string()));
    let mut changed = signer.sign(&good);
    let middle = changed.len() - 40;
    let other = if changed.as_bytes()[middle] == b'A' { "B" } else { "A" };
    changed.replace_range(middle..=middle, other);
    for token in [confused, none, changed] {
        assert_eq!(world.get(PATH, &token).send().await.unwrap().status(), 401, "{token}");
    }
    assert_eq!(world.get(PATH, &signer.sign(&good)).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_rotate_are_fetched_and_unknown_ones_are_no_load_on_the_provider() {
    let (provider, tenant) = (Provider::start().await, TenantId::generate());
    let world = start(&provider, &tenant).await;
    world.register_user(&tenant, "ann@b.example");
    let status = async |token: &str| world.get(PATH, token).send().await.unwrap().status().as_u16();
    provider.set_away(true);
    let first = provider.signer();
    assert_eq!(status(&first.sign(&claims(&provider, json!({})))).await, 503);
    provider.set_away(false);
    assert_eq!(status(&first.sign(&claims(&provider, json!({})))).await, 200);
    provider.rotate(Algorithm::ES256);
    assert_eq!(status(&provider.signer().sign(&claims(&provider, json!({"jti": "2"})))).await, 200);
    // The old key is gone; a token of it that was not seen before is of no known key.
    for number in 0..20 {
        assert_eq!(status(&first.sign(&claims(&provider, json!({"jti": number})))).await, 401);
    }
    assert_eq!(provider.asked(), 3, "one for each key, one for the key that is gone, then a pause");
    // A provider that goes away takes nobody out who was let in with keys that are fresh.
    provider.set_away(true);
    assert_eq!(status(&provider.signer().sign(&claims(&provider, json!({"jti": "3"})))).await, 200);
}
