//! Work requests: operations that take a while, and waiting for them.

use crate::{
    args::{Care, Wait},
    client::{self, Client},
    cluster, container_instance,
    error::Error,
    output::{Column, Output},
    resource,
};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The services that have work requests.
const SERVICES: [&str; 2] = ["/20180222", "/20210415"];
/// First pause between two looks; it doubles up to [`SLOW`].
const FAST: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_secs(1);

/// How often the progress bar moves, whatever there is to say.
const TICK: Duration = Duration::from_millis(100);
/// How long is waited if nobody says.
const DEFAULT_SECONDS: u64 = 600;

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

/// What to do with work requests.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkRequestVerb {
    /// List work requests
    List {
        /// Only those of this cluster
        #[arg(long, conflicts_with = "container_instance")]
        cluster: Option<String>,
        /// Only those of this container instance
        #[arg(long)]
        container_instance: Option<String>,
    },
    /// Show a work request
    Get {
        /// Its OCID
        id: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show what a work request did
    Logs {
        /// Its OCID
        id: String,
    },
    /// Show why a work request failed
    Errors {
        /// Its OCID
        id: String,
    },
    /// Call off a work request that has not begun
    Delete {
        /// Its OCID
        id: String,
        #[command(flatten)]
        care: Care,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: WorkRequestVerb) -> Result<(), Error> {
    match verb {
        WorkRequestVerb::List { cluster, container_instance } => {
            let found = list(client, cluster.as_deref(), container_instance.as_deref()).await?;
            out.list(&found, COLUMNS)
        }
        WorkRequestVerb::Get { id, wait } => {
            let path = find(client, &id).await?;
            if wait.wait {
                follow(client, &path, wait).await?;
            }
            out.one(&client.get(&path).await?, COLUMNS)
        }
        WorkRequestVerb::Logs { id } => part(client, out, &id, "logs", LOG).await,
        WorkRequestVerb::Errors { id } => part(client, out, &id, "errors", ERROR).await,
        WorkRequestVerb::Delete { id, care } => {
            let path = find(client, &id).await?;
            if care.dry_run {
                eprintln!("hako: nothing is called off (--dry-run); without it this work request is");
                return out.one(&client.get(&path).await?, COLUMNS);
            }
            resource::confirm(care, &format!("call off {id}?"))?;
            client.change(&Method::DELETE, &path, None).await.map(drop)
        }
    }
}

async fn list(client: &Client, cluster: Option<&str>, instance: Option<&str>) -> Result<Vec<Value>, Error> {
    let compartment = ("compartmentId", client.compartment()?);
    let [clusters, instances] = SERVICES.map(path_of);
    if let Some(cluster) = cluster {
        let id = cluster::KIND.find(client, cluster).await?;
        return client.list(&clusters, &[compartment, ("clusterId", &id)]).await;
    }
    if let Some(instance) = instance {
        let id = container_instance::KIND.find(client, instance).await?;
        return client.list(&instances, &[compartment, ("resourceId", &id)]).await;
    }
    let mut all = client.list(&clusters, &[compartment]).await?;
    match client.list(&instances, &[compartment]).await {
        Ok(more) => {
            let known: Vec<Value> = all.iter().map(|work| work["id"].clone()).collect();
            all.extend(more.into_iter().filter(|work| !known.contains(&work["id"])));
        }
        // Whoever may not see the ones may see the others.
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    all.sort_by(|one, other| other["timeAccepted"].as_str().cmp(&one["timeAccepted"].as_str()));
    Ok(all)
}

fn path_of(service: &str) -> String {
    format!("{service}/workRequests")
}

/// Path of a work request, of whichever service it is.
async fn find(client: &Client, id: &str) -> Result<String, Error> {
    let id = client::segment("work request", id)?;
    let [first, second] = SERVICES.map(|service| format!("{}/{id}", path_of(service)));
    match client.get(&first).await {
        Err(error) if error.is_not_found() => match client.get(&second).await {
            Ok(_) => Ok(second),
            Err(other) if other.is_not_found() => Err(error),
            Err(other) => Err(other),
        },
        Err(error) => Err(error),
        Ok(_) => Ok(first),
    }
}

async fn part(client: &Client, out: Output, id: &str, part: &str, columns: &[Column]) -> Result<(), Error> {
    let path = format!("{}/{part}", find(client, id).await?);
    out.list(&client.list(&path, &[("compartmentId", client.compartment()?)]).await?, columns)
}

/// Path of a work request that changes something below `path`: each service has its own.
fn beside(path: &str, id: &str) -> String {
    let service = path.split('/').nth(1).unwrap_or_default();
    format!("/{service}/workRequests/{id}")
}

/// Prints the work request of a change below `path` that nobody waits for.
pub(crate) async fn show(client: &Client, out: Output, path: &str, id: &str) -> Result<(), Error> {
    out.one(&client.get(&beside(path, id)).await?, COLUMNS)
}

/// Waits for the end of the work request of a change below `path`; gives the OCID of its resource.
pub(crate) async fn wait(client: &Client, path: &str, id: &str, wait: Option<Wait>) -> Result<String, Error> {
    let wait = wait.unwrap_or(Wait { wait: true, wait_timeout: DEFAULT_SECONDS });
    let work = follow(client, &beside(path, id), wait).await?;
    let resources = work["resources"].as_array().into_iter().flatten();
    let id = resources.filter_map(|resource| resource["identifier"].as_str()).next();
    id.map(str::to_owned).ok_or_else(|| Error::Failed("the work request names no resource".into()))
}

/// Shows on a terminal how far it is.
async fn follow(client: &Client, path: &str, wait: Wait) -> Result<Value, Error> {
    let bar = ProgressBar::new(100);
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:30} {percent}% {elapsed}");
    bar.set_style(style.map_err(Error::io("show progress"))?);
    bar.enable_steady_tick(TICK);
    let result = wait_for_end(client, path, wait, &bar).await;
    bar.finish_and_clear();
    result
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
                    "still {status} after {} s; it goes on: `hako work-request get {id} --wait`",
                    wait.wait_timeout
                )));
            }
            _ => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(SLOW);
    }
}

async fn failure(client: &Client, path: &str, work: &Value) -> Error {
    let query = client.compartment().map(|id| vec![("compartmentId", id)]).unwrap_or_default();
    let errors = client.list(&format!("{path}/errors"), &query).await.unwrap_or_default();
    let texts: Vec<&str> = errors.iter().filter_map(|error| error["message"].as_str()).collect();
    let text = |name: &str| work[name].as_str().unwrap_or_default();
    Error::Failed(format!(
        "{} {}: {}\n  `hako work-request logs {}` shows what it did",
        text("operationType"),
        text("status"),
        texts.join("; "),
        text("id")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own_work_requests() {
        assert_eq!(beside("/20180222/clusters", "w"), "/20180222/workRequests/w");
        assert_eq!(beside("/20210415/containerInstances", "w"), "/20210415/workRequests/w");
    }
}
