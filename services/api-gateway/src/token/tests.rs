use super::*;
use aws_lc_rs::{
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A key of each kind: signing key and verifier.
fn keys() -> Vec<(Algorithm, EncodingKey, Verifier)> {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let ec_private = ec.to_pkcs8v1().unwrap();
    let ec_public: PublicKeyX509Der<'_> = ec.public_key().as_der().unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let ed_public: PublicKeyX509Der<'_> = ed.public_key().as_der().unwrap();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let verifier = |der: &[u8]| Verifier::from_pem(&pem("PUBLIC KEY", der)).unwrap();
    let rsa_pem = pem("PRIVATE KEY", rsa_private.as_ref());
    vec![
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(pem("PRIVATE KEY", ec_private.as_ref()).as_bytes()).unwrap(),
            verifier(ec_public.as_ref()),
        ),
        (Algorithm::EdDSA, EncodingKey::from_ed_der(ed.to_pkcs8v1().unwrap().as_ref()), verifier(ed_public.as_ref())),
        (Algorithm::RS256, EncodingKey::from_rsa_pem(rsa_pem.as_bytes()).unwrap(), verifier(rsa_public.as_ref())),
    ]
}

fn claims(change: Value) -> Value {
    let user = "ocid1.user.hako.local-1.abc";
    let mut claims = json!({"iss": "hako", "sub": user, "aud": "hako", "iat": NOW, "exp": NOW + 300});
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header { kid: Some("aa:bb".into()), ..Header::new(algorithm) }, claims, key).unwrap()
}

#[test]
fn tokens_of_every_key_kind_are_taken_with_their_own_key_only() {
    runtime::tls::install_provider();
    let keys = keys();
    for (algorithm, key, verifier) in &keys {
        let token = sign(*algorithm, key, &claims(json!({})));
        assert_eq!(peek(&token, |_| false), Some(Kind::User { kid: "aa:bb".into() }));
        let grant = verify(&token, verifier, NOW).unwrap();
        assert_eq!((grant.user.as_str(), grant.cluster), ("ocid1.user.hako.local-1.abc", None));
        for (other, _, wrong) in keys.iter().filter(|(other, ..)| other != algorithm) {
            assert_eq!(verify(&token, wrong, NOW), None, "{algorithm:?} {other:?}");
        }
    }
}

#[test]
fn claims_must_be_right() {
    runtime::tls::install_provider();
    let (algorithm, key, verifier) = keys().remove(0);
    let check = |change: Value| verify(&sign(algorithm, &key, &claims(change)), &verifier, NOW);
    let cluster = ClusterId::generate();
    assert_eq!(check(json!({"aud": cluster})).unwrap().cluster, Some(cluster.clone()));
    assert_eq!(check(json!({"aud": ["hako", "x"]})).unwrap().cluster, None);
    for wrong in [
        json!({"exp": NOW - 31}),
        json!({"iat": NOW + 31, "exp": NOW + 90}),
        json!({"exp": NOW + 3601}),
        json!({"exp": NOW}).as_object().map(|_| json!({"iat": NOW, "exp": NOW})).unwrap(),
        json!({"exp": null}),
        json!({"iat": null}),
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": [cluster, ClusterId::generate()]}),
        json!({"sub": "admin"}),
        json!({"sub": null}),
        json!({"iss": "other"}),
    ] {
        assert_eq!(check(wrong.clone()), None, "{wrong}");
    }
}

#[test]
fn a_changed_token_is_refused() {
    runtime::tls::install_provider();
    let (algorithm, key, verifier) = keys().remove(0);
    let token = sign(algorithm, &key, &claims(json!({})));
    let parts: Vec<&str> = token.split('.').collect();
    let forged = URL_SAFE_NO_PAD.encode(claims(json!({"sub": "ocid1.user.hako.local-1.root"})).to_string());
    assert_eq!(verify(&format!("{}.{forged}.{}", parts[0], parts[2]), &verifier, NOW), None);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"aa:bb"}"#);
    assert_eq!(verify(&format!("{none}.{}.", parts[1]), &verifier, NOW), None);
}

#[test]
fn service_account_tokens_are_known_by_their_cluster() {
    let cluster = ClusterId::generate();
    let payload = json!({"iss": "https://gw", "hako.dev/cluster": cluster}).to_string();
    let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(payload));
    assert_eq!(peek(&token, |_| false), Some(Kind::ServiceAccount { cluster }));
    for bad in ["", "a.b", "a.b.c", "a.b.c.d", "e30.e30.x"] {
        assert_eq!(peek(bad, |_| false), None, "{bad}");
    }
}
