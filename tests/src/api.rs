//! The Kubernetes API and the cloud API without a client in between: for many requests at once, and for bad ones.

use crate::world::World;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::SystemTime;

/// A caller of the gateway.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
    /// Sent as `opc-request-id`; empty: none, and the gateway makes one.
    request_id: String,
}

/// Status and body of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header `opc-request-id`, if any.
    pub request_id: Option<String>,
    /// The body if it is JSON; else null.
    pub body: Value,
}

impl Api {
    /// The Kubernetes API of a cluster, with a token of the current profile's.
    ///
    /// # Panics
    /// If no token can be made.
    #[must_use]
    pub fn cluster(world: &World, id: &str) -> Self {
        let credential = world.json(&format!("hako cluster generate-token --cluster-id {id}"));
        let token = credential["status"]["token"].as_str().expect("a credential holds a token");
        Self::with_token(world, &format!("/clusters/{id}"), token)
    }

    /// The cloud API, with a token of the first administrator's that is good for most of an hour.
    ///
    /// # Panics
    /// If no token can be made.
    #[must_use]
    pub fn cloud(world: &World) -> Self {
        let tenant = world.cloud.default_tenant().expect("the cloud has a tenant");
        let key = std::fs::read(tenant.key_file).expect("the tenant has a key");
        let key = EncodingKey::from_ec_pem(&key).expect("the key is an EC one");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
        let claims = json!({"iss": "hako", "sub": tenant.user_id, "aud": "hako", "iat": now, "exp": now + 3500});
        let header = Header { kid: Some(tenant.fingerprint), ..Header::new(Algorithm::ES256) };
        let token = jsonwebtoken::encode(&header, &claims, &key).expect("a token can be signed");
        Self::with_token(world, "", &token)
    }

    /// Anything below the gateway's URL, with any token; an empty one sends none.
    ///
    /// # Panics
    /// If the gateway's CA can't be read.
    #[must_use]
    pub fn with_token(world: &World, prefix: &str, token: &str) -> Self {
        let ca = std::fs::read(world.variable("HAKO_CA")).expect("the CA's file is there");
        let ca = reqwest::Certificate::from_pem(&ca).expect("the CA is PEM");
        let http = reqwest::Client::builder().tls_certs_only([ca]).http1_only().build().expect("TLS works");
        Self {
            http,
            base: format!("{}{prefix}", world.variable("HAKO_ENDPOINT")),
            token: token.to_owned(),
            request_id: String::new(),
        }
    }

    /// The same caller, whose requests all have this id.
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        Self { request_id: id.to_owned(), ..self.clone() }
    }

    /// The bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends one request; the body goes as it is.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn send(&self, method: &str, path: &str, media: &str, body: Vec<u8>) -> Result<Answer, reqwest::Error> {
        let method = method.parse().expect("a method is a token");
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        if !self.request_id.is_empty() {
            request = request.header("opc-request-id", &self.request_id);
        }
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let id = response.headers().get("opc-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Answer { status, request_id: id, body })
    }

    /// Sends a JSON body.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        self.send("POST", path, "application/json", body.to_string().into_bytes()).await
    }

    /// Reads.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        self.send("GET", path, "", Vec::new()).await
    }
}
