use super::*;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

struct Key {
    signing: EncodingKey,
    owner: KeyOwner,
}

fn key() -> Key {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    Key {
        signing: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
        owner: KeyOwner {
            tenant_id: TenantId::generate(),
            user_id: UserId::generate(),
            user_name: "admin".into(),
            groups: vec![],
            public_key: pair.public_key_pem(),
        },
    }
}

fn sign(key: &Key, change: impl FnOnce(&mut Value)) -> String {
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({"iss": "hako", "sub": key.owner.user_id, "aud": "hako", "iat": now, "exp": now + 300});
    change(&mut claims);
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key.signing).unwrap()
}

#[test]
fn a_users_token_is_verified() {
    let key = key();
    let verified = verify(&sign(&key, |_| ()), &key.owner).unwrap();
    assert_eq!(verified.principal.user_id, key.owner.user_id);
    assert_eq!(Principal::from_header(&verified.header).unwrap(), verified.principal);
    let cluster = ClusterId::generate();
    let narrow = sign(&key, |claims| claims["aud"] = json!([cluster]));
    assert_eq!(verify(&narrow, &key.owner).unwrap().principal.cluster_id, Some(cluster));
}

#[test]
fn wrong_tokens_are_refused() {
    let (mine, other) = (key(), key());
    let now = jiff::Timestamp::now().as_second();
    let bad = |change: &dyn Fn(&mut Value)| verify(&sign(&mine, |claims| change(claims)), &mine.owner);
    assert!(bad(&|c| c["exp"] = json!(now - 1)).is_err(), "expired");
    assert!(bad(&|c| c["exp"] = json!(now + 7200)).is_err(), "too long");
    assert!(bad(&|c| c["iat"] = json!(now + 3000)).is_err(), "from the future");
    assert!(bad(&|c| c["sub"] = json!(other.owner.user_id)).is_err(), "another subject");
    assert!(bad(&|c| c["iss"] = json!("elsewhere")).is_err(), "another issuer");
    assert!(bad(&|c| c["aud"] = json!("elsewhere")).is_err(), "another audience");
    assert!(bad(&|c| drop(c.as_object_mut().unwrap().remove("aud"))).is_err(), "no audience");
    assert!(verify(&sign(&other, |_| ()), &mine.owner).is_err(), "another key");
    let symmetric = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &json!({"iss": "hako", "sub": mine.owner.user_id, "aud": "hako", "iat": now, "exp": now + 60}),
        &EncodingKey::from_secret(mine.owner.public_key.as_bytes()),
    );
    assert!(verify(&symmetric.unwrap(), &mine.owner).is_err(), "a public key is no shared secret");
}

#[test]
fn headers_that_hold_no_token_are_told_apart() {
    assert_eq!(bearer("Bearer abc"), Some("abc"));
    assert_eq!(bearer("bearer abc"), Some("abc"));
    assert_eq!(bearer("Basic abc"), None);
    assert_eq!(bearer("Bearer "), None);
    assert!(unverified("a.b.c").is_err());
}
