//! An identity provider as there are outside: HTTPS, discovery, keys that rotate. What it does not do is log people in.

use crate::world::Authority;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::KeyPair as _,
};
use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::UserId;
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use runtime::CancellationToken;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use tokio::net::TcpListener;

/// One key pair of the provider.
#[derive(Clone)]
pub struct Signer {
    algorithm: Algorithm,
    kid: String,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn new(algorithm: Algorithm) -> Self {
        let kid = UserId::generate().unique()[..8].to_owned();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (key, jwk) = if algorithm == Algorithm::RS256 {
            let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
            let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            let pem = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
            let public = pair.public_key();
            let (n, e) = (public.modulus(), public.exponent());
            let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
            let jwk = json!({"kty": "RSA", "n": text(n), "e": text(e), "alg": "RS256", "use": "sig", "kid": kid});
            (EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), jwk)
        } else {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let point = pair.public_key_raw();
            let jwk = json!({
                "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]), "kid": kid,
            });
            (EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(), jwk)
        };
        Self { algorithm, kid, key, jwk }
    }

    /// A token with these claims, signed with this key.
    pub fn sign(&self, claims: &Value) -> String {
        let head = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&head, claims, &self.key).unwrap()
    }

    /// The modulus or the point, which everybody knows.
    pub fn public(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.jwk["n"].as_str().unwrap()).unwrap()
    }

    /// Id of the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

struct Site {
    issuer: String,
    signers: Mutex<Vec<Signer>>,
    away: AtomicBool,
    asked: AtomicU32,
}

/// A provider that runs until it is dropped.
pub struct Provider {
    site: Arc<Site>,
    pub ca: PathBuf,
    directory: PathBuf,
    stop: CancellationToken,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Provider {
    pub async fn start() -> Self {
        runtime::tls::install_provider();
        let unique = UserId::generate().unique()[..8].to_owned();
        let directory = std::env::temp_dir().join(format!("hako-provider-{}-{unique}", std::process::id()));
        let identity = Authority::new(&directory).identity("provider");
        let tls = runtime::tls::public_server(&identity.certificate, &identity.key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Arc::new(Site {
            issuer: format!("https://localhost:{}/realm", listener.local_addr().unwrap().port()),
            signers: Mutex::new(vec![Signer::new(Algorithm::RS256)]),
            away: AtomicBool::new(false),
            asked: AtomicU32::new(0),
        });
        let app = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/realm/keys", get(keys))
            .with_state(Arc::clone(&site));
        let stop = CancellationToken::new();
        tokio::spawn(runtime::serve::serve(listener, Some(tls), app, stop.clone()));
        Self { site, ca: identity.ca, directory, stop }
    }

    /// `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.site.issuer
    }

    /// The key that it signs with at present.
    pub fn signer(&self) -> Signer {
        self.site.signers.lock().last().unwrap().clone()
    }

    /// Replaces all keys by one of this kind.
    pub fn rotate(&self, algorithm: Algorithm) {
        *self.site.signers.lock() = vec![Signer::new(algorithm)];
    }

    /// Answers nothing but errors, or answers again.
    pub fn set_away(&self, away: bool) {
        self.site.away.store(away, Ordering::SeqCst);
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> u32 {
        self.site.asked.load(Ordering::SeqCst)
    }
}

async fn discovery(State(site): State<Arc<Site>>) -> Result<Json<Value>, StatusCode> {
    if site.away.load(Ordering::SeqCst) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    let uri = format!("{}/keys", site.issuer);
    Ok(Json(json!({"issuer": site.issuer, "jwks_uri": uri, "id_token_signing_alg_values_supported": ["RS256"]})))
}

async fn keys(State(site): State<Arc<Site>>) -> Json<Value> {
    site.asked.fetch_add(1, Ordering::SeqCst);
    let mut keys: Vec<Value> = site.signers.lock().iter().map(|signer| signer.jwk.clone()).collect();
    // Real sets have keys that are not for signatures, and of kinds that not everybody knows.
    keys.push(json!({"kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB"}));
    keys.push(json!({"kty": "LWE", "kid": "new"}));
    Json(json!({"keys": keys}))
}
