//! One container from its start to its end, as if it ran here.

use super::{
    KIND,
    create::{self, Place, Restart},
    logs,
};
use crate::{args::Extra, client::Client, error::Error, request::Body, work_request};
use clap::Args as Group;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Pause between two looks at an instance.
const PAUSE: Duration = Duration::from_millis(300);
/// Exit code of what was interrupted. Source: POSIX shells, 128 and SIGINT.
const INTERRUPTED: u8 = 130;

/// What to run.
#[derive(Debug, Group)]
pub(crate) struct Run {
    /// Image of the container
    image: String,
    /// Arguments of the container
    #[arg(last = true)]
    arguments: Vec<String>,
    /// Name of the instance
    #[arg(long)]
    name: Option<String>,
    /// Leave the instance there at its end
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    extra: Extra,
}

/// Runs it; fails with its exit code.
pub(super) async fn run(client: &Client, how: Run) -> Result<(), Error> {
    let container = create::container(&how.place, how.image, how.arguments)?;
    let body = Body::default()
        .set("displayName", how.name)
        .list("containers", vec![container])
        .set("containerRestartPolicy", Some(Restart::Never.word()))
        .with(&how.extra)?;
    let body = create::placed(client, body, &how.place).await?.usual("compartmentId", client.compartment()?);
    let answer = client.change(&Method::POST, KIND.path, Some(&body.json())).await?;
    let made = answer.body.unwrap_or_default();
    let id = made["id"].as_str().ok_or_else(|| Error::Failed("the service named no instance".into()))?.to_owned();
    let ended = tokio::select! {
        ended = to_end(client, &id, answer.work_request) => ended,
        _ = tokio::signal::ctrl_c() => Err(Error::Exit(INTERRUPTED)),
    };
    if how.keep {
        eprintln!("hako: container instance {id} is still there");
    } else if let Err(error) = client.change(&Method::DELETE, &KIND.path_of(&id), None).await {
        eprintln!("hako: container instance {id} could not be deleted: {error}");
    }
    match ended? {
        0 => Ok(()),
        code => Err(Error::Exit(code)),
    }
}

/// Prints the log of an instance's container until that has ended; gives its exit code.
async fn to_end(client: &Client, id: &str, work: Option<String>) -> Result<u8, Error> {
    if let Some(work) = work {
        work_request::wait(client, KIND.path, &work, None).await?;
    }
    let container = super::container(client, id, None).await?;
    let (instance, container, log) =
        (KIND.path_of(id), format!("/20210415/containers/{container}"), logs::path_of(&container)?);
    let mut printed = 0;
    loop {
        // Looked at first: what has ended by then is in the log as a whole.
        let state = client.get(&container).await?;
        match logs::copy(client, &log, &[("follow", "true")], &mut printed).await {
            // There is nothing yet, or the stream broke: it is asked for again.
            Err(error) if !matches!(error, Error::Refused { status: 400 | 401, .. }) => {}
            copied => copied?,
        }
        if let Some(code) = exit_code(&state) {
            return Ok(code);
        }
        let whole = client.get(&instance).await?;
        if matches!(whole["lifecycleState"].as_str(), Some("FAILED" | "DELETING" | "DELETED")) {
            let why = whole["lifecycleDetails"].as_str().unwrap_or("it is gone");
            return Err(Error::Failed(format!("the container instance has ended: {why}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The exit code of a container that has ended.
fn exit_code(container: &Value) -> Option<u8> {
    let code = container["exitCode"].as_i64().filter(|_| container["lifecycleState"] == json!("INACTIVE"))?;
    // Of a code beyond eight bits, a caller would see the lowest ones: never 0 for a failure.
    Some(u8::try_from(code).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_container_that_has_ended_has_an_exit_code() {
        let code = |state: &str, code: Value| exit_code(&json!({"lifecycleState": state, "exitCode": code}));
        assert_eq!(code("INACTIVE", json!(3)), Some(3));
        assert_eq!(code("INACTIVE", json!(256)), Some(255));
        assert_eq!(code("INACTIVE", Value::Null), None);
        assert_eq!(code("ACTIVE", json!(3)), None);
    }
}
