//! Any operation of the API, by its method and path.

use crate::{
    args::Wait,
    client::{self, Ask, Client, header},
    error::Error,
    output::{self, Output},
    request, work_request,
};
use clap::Args as Group;
use reqwest::Method;
use serde_json::Value;

/// A call of the API. `docs/openapi.json` lists all operations.
#[derive(Debug, Group)]
pub(crate) struct Call {
    /// GET, POST, PUT or DELETE
    #[arg(value_parser = method)]
    method: Method,
    /// Path, as `/20180222/clusters`; a query may be in it
    path: String,
    /// Parameter of the query, as `name=value`; may be repeated. `{compartment}` and `{tenancy}` stand for OCIDs of the
    /// profile, here and in the path
    #[arg(long = "query", short, value_name = "NAME=VALUE")]
    query: Vec<String>,
    /// Header to send, as `if-match=...`; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// JSON to send; `@FILE` reads it from a file, `@-` from standard input
    #[arg(long, value_name = "JSON|@FILE")]
    body: Option<String>,
    /// Ask for all pages and print their entries as one list
    #[arg(long)]
    all: bool,
    /// Print status and headers of the answer to standard error
    #[arg(long, short)]
    include: bool,
    #[command(flatten)]
    wait: Wait,
}

fn method(text: &str) -> Result<Method, String> {
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "GET" | "POST" | "PUT" | "DELETE" => Method::from_bytes(upper.as_bytes()).map_err(|error| error.to_string()),
        _ => Err("it is none of GET, POST, PUT and DELETE".into()),
    }
}

pub(crate) async fn run(client: &Client, out: Output, call: Call) -> Result<(), Error> {
    if !call.path.starts_with('/') {
        return Err(Error::Misused(format!("{:?} is no path: it begins with /, as /20180222/clusters", call.path)));
    }
    let filled = |text: String| -> Result<String, Error> {
        let text =
            if text.contains("{compartment}") { text.replace("{compartment}", client.compartment()?) } else { text };
        Ok(if text.contains("{tenancy}") { text.replace("{tenancy}", client.tenancy()?) } else { text })
    };
    let pairs = |flag: &str, texts: &[String]| -> Result<Vec<(String, String)>, Error> {
        texts.iter().map(|text| request::pair(flag, &filled(text.clone())?)).collect()
    };
    let (query, headers) = (pairs("--query", &call.query)?, pairs("--header", &call.headers)?);
    let (query, headers) = (borrowed(&query), borrowed(&headers));
    let path = filled(call.path)?;
    let body = call.body.as_deref().map(|text| request::json_or_file("--body", text)).transpose()?;
    let ask = Ask { method: &call.method, path: &path, query: &query, headers: &headers, body: body.as_ref() };
    if call.all {
        return out.raw(&Value::Array(client.pages(ask).await?));
    }
    let response = client.send(ask).await?;
    if call.include {
        eprintln!("HTTP {}", response.status());
        for (name, value) in response.headers() {
            eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    let work = header(&response, "opc-work-request-id");
    let text = response.text().await.map_err(Error::io("read the answer"))?;
    match serde_json::from_str(&text) {
        Ok(value) => out.raw(&value)?,
        Err(_) => output::write(&text)?,
    }
    match work {
        Some(work) if call.wait.wait => {
            work_request::wait(client, &path, client::segment("work request", &work)?, Some(call.wait)).await.map(drop)
        }
        Some(work) => {
            eprintln!("hako: it goes on: `hako work-request get {work}`");
            Ok(())
        }
        None => Ok(()),
    }
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
