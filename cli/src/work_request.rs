//! Work requests: operations that take a while, and waiting for them.

use crate::{
    args::{Wait, WorkRequestVerb},
    client::{self, Client},
    cluster,
    error::Error,
    output::{Column, Output},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::time::{Duration, Instant};

const BASE: &str = "/20180222/workRequests";
/// First pause between two looks; it doubles up to [`SLOW`].
const FAST: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_secs(1);

/// How often the progress bar moves, whatever there is to say.
const TICK: Duration = Duration::from_millis(100);

const COLUMNS: &[Column] = &[
    Column("OPERATION", "/operationType"),
    Column("STATUS", "/status"),
    Column("%", "/percentComplete"),
    Column("ACCEPTED", "/timeAccepted"),
    Column("FINISHED", "/timeFinished"),
    Column("ID", "/id"),
];
const LOG: &[Column] = &[Column("TIME", "/timestamp"), Column("MESSAGE", "/message")];
const ERROR: &[Column] = &[Column("TIME", "/timestamp"), Column("CODE", "/code"), Column("MESSAGE", "/message")];

pub(crate) async fn run(client: &Client, out: Output, verb: WorkRequestVerb) -> Result<(), Error> {
    match verb {
        WorkRequestVerb::List { cluster } => {
            let mut query = vec![("compartmentId", client.compartment())];
            let id = match cluster {
                Some(cluster) => Some(cluster::resolve(client, &cluster).await?),
                None => None,
            };
            if let Some(id) = &id {
                query.push(("clusterId", id));
            }
            out.list(&client.list(BASE, &query).await?, COLUMNS)
        }
        WorkRequestVerb::Get { id } => {
            let id = client::segment("work request", &id)?;
            out.one(&client.get(&format!("{BASE}/{id}")).await?, COLUMNS)
        }
        WorkRequestVerb::Logs { id } => part(client, out, &id, "logs", LOG).await,
        WorkRequestVerb::Errors { id } => part(client, out, &id, "errors", ERROR).await,
    }
}

async fn part(client: &Client, out: Output, id: &str, part: &str, columns: &[Column]) -> Result<(), Error> {
    let query = [("compartmentId", client.compartment())];
    let id = client::segment("work request", id)?;
    out.list(&client.list(&format!("{BASE}/{id}/{part}"), &query).await?, columns)
}

/// What a change led to: without `--wait` the work request as it is; with it, once it has succeeded, the OCID of its
/// resource.
pub(crate) enum Outcome {
    Begun(Value),
    Done(String),
}

impl Outcome {
    /// Prints the work request of a change that nobody waits for.
    pub(crate) fn print_begun(out: Output, work: &Value) -> Result<(), Error> {
        out.one(work, COLUMNS)
    }
}

/// Waits for the end of a work request if that is wished.
pub(crate) async fn follow(client: &Client, id: &str, wait: Wait) -> Result<Outcome, Error> {
    let path = format!("{BASE}/{id}");
    if !wait.wait {
        return client.get(&path).await.map(Outcome::Begun);
    }
    let bar = ProgressBar::new(100);
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:30} {percent}% {elapsed}");
    bar.set_style(style.map_err(Error::io("show progress"))?);
    bar.enable_steady_tick(TICK);
    let result = wait_for_end(client, &path, wait, &bar).await;
    bar.finish_and_clear();
    let work = result?;
    let resources = work["resources"].as_array().into_iter().flatten();
    let id = resources.filter_map(|resource| resource["identifier"].as_str()).next();
    id.map(|id| Outcome::Done(id.to_owned())).ok_or_else(|| Error::Failed("the work request names no resource".into()))
}

async fn wait_for_end(client: &Client, path: &str, wait: Wait, bar: &ProgressBar) -> Result<Value, Error> {
    let deadline = Instant::now() + Duration::from_secs(wait.wait_timeout);
    let mut pause = FAST;
    loop {
        let work = match client.get(path).await {
            // The operation goes on whether or not somebody can look at it just now.
            Err(error) if error.is_passing() && Instant::now() < deadline => {
                bar.set_message(format!("{error}"));
                tokio::time::sleep(SLOW).await;
                continue;
            }
            looked => looked?,
        };
        let text = |name: &str| work[name].as_str().unwrap_or_default().to_owned();
        bar.set_message(format!("{} {}", text("operationType"), text("status")));
        bar.set_position(work["percentComplete"].as_f64().map_or(0, |percent| percent as u64));
        match text("status").as_str() {
            "SUCCEEDED" => return Ok(work),
            "FAILED" | "CANCELED" => return Err(failure(client, path, &work).await),
            _ if Instant::now() > deadline => {
                let (status, id) = (text("status"), text("id"));
                return Err(Error::Failed(format!(
                    "still {status} after {} s; it goes on: `hako work-request get {id}`",
                    wait.wait_timeout
                )));
            }
            _ => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(SLOW);
    }
}

async fn failure(client: &Client, path: &str, work: &Value) -> Error {
    let query = [("compartmentId", client.compartment())];
    let errors = client.list(&format!("{path}/errors"), &query).await.unwrap_or_default();
    let texts: Vec<&str> = errors.iter().filter_map(|error| error["message"].as_str()).collect();
    let text = |name: &str| work[name].as_str().unwrap_or_default();
    Error::Failed(format!("{} {}: {}", text("operationType"), text("status"), texts.join("; ")))
}
