//! The cloud API over HTTPS.

use crate::{config::Profile, error::Error, token};
use reqwest::{Certificate, Method, Response};
use serde_json::Value;
use std::time::Duration;

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Entries of one page.
const PAGE: &str = "1000";

/// A caller of the cloud API.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) profile: Profile,
}

impl Client {
    pub(crate) fn new(profile: Profile) -> Result<Self, Error> {
        // Another default provider would already be installed only by a bug; ours is the only caller.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().timeout(TIMEOUT).user_agent(concat!("hako/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &profile.ca {
            let path = ca.display();
            let pem = std::fs::read(ca).map_err(Error::io(format!("read the CA {path}")))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(Error::io(format!("read the CA {path}")))?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().map_err(Error::io("set up TLS"))?;
        Ok(Self { http, profile })
    }

    /// OCID of the compartment to work in.
    pub(crate) fn compartment(&self) -> &str {
        &self.profile.compartment
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, Error> {
        let (token, _) = token::sign(&self.profile, None)?;
        let url = format!("{}{path}", self.profile.endpoint);
        let mut request = self.http.request(method, url).query(query).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| Error::Unreachable {
            endpoint: self.profile.endpoint.clone(),
            cause: innermost(&error),
        })?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    /// One object.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        body(self.send(Method::GET, path, &[], None).await?).await
    }

    /// All pages of a list.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Error> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = query.to_vec();
            query.push(("limit", PAGE));
            if let Some(page) = &page {
                query.push(("page", page));
            }
            let response = self.send(Method::GET, path, &query, None).await?;
            page = header(&response, "opc-next-page");
            match body(response).await? {
                Value::Array(items) => all.extend(items),
                Value::Object(mut object) => match object.remove("items") {
                    Some(Value::Array(items)) => all.extend(items),
                    _ => return Err(Error::Failed(format!("{path} did not answer a list"))),
                },
                _ => return Err(Error::Failed(format!("{path} did not answer a list"))),
            }
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// A change; gives the OCID of the work request that carries it out.
    pub(crate) async fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, Error> {
        let response = self.send(method, path, &[], body).await?;
        header(&response, "opc-work-request-id")
            .ok_or_else(|| Error::Failed("the service named no work request".into()))
    }

    /// The text that a POST answers.
    pub(crate) async fn post_for_text(&self, path: &str, body: &Value) -> Result<String, Error> {
        let response = self.send(Method::POST, path, &[], Some(body)).await?;
        response.text().await.map_err(Error::io("read the answer"))
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

async fn body(response: Response) -> Result<Value, Error> {
    response.json().await.map_err(Error::io("read the answer"))
}

async fn refusal(response: Response) -> Error {
    let status = response.status().as_u16();
    let request_id = header(&response, "opc-request-id").unwrap_or_default();
    let body: Value = response.json().await.unwrap_or_default();
    let text = |name: &str, otherwise: &str| body[name].as_str().unwrap_or(otherwise).to_owned();
    let (code, message) = (text("code", "Unknown"), text("message", "the service gave no reason"));
    Error::Refused { status, code, message, request_id }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
