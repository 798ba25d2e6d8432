//! Logs of containers.

use crate::{
    client::{self, Client},
    error::Error,
    output,
};
use clap::Args as Group;
use std::io::Write;

/// Which log.
#[derive(Debug, Group)]
pub(crate) struct Logs {
    /// Name or OCID of the instance
    #[arg(value_name = "NAME|OCID")]
    instance: String,
    /// The container, if the instance has several
    #[arg(long, short)]
    container: Option<String>,
    /// Go on with what is written later
    #[arg(long, short)]
    follow: bool,
    /// Begin with the last so many lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Put its time before each line
    #[arg(long)]
    timestamps: bool,
    /// The log of the run before
    #[arg(long)]
    previous: bool,
}

/// Prints a log.
pub(super) async fn print(client: &Client, what: Logs) -> Result<(), Error> {
    let id = super::container(client, &what.instance, what.container.as_deref()).await?;
    let tail = what.tail.map(|lines| lines.to_string());
    let flags = [("follow", what.follow), ("timestamps", what.timestamps), ("isPrevious", what.previous)];
    let mut query: Vec<(&str, &str)> = flags.iter().filter(|flag| flag.1).map(|flag| (flag.0, "true")).collect();
    query.extend(tail.as_deref().map(|lines| ("tail", lines)));
    let path = path_of(&id)?;
    let mut printed = 0;
    copy(client, &path, &query, &mut printed).await
}

/// Path of a container's log.
pub(super) fn path_of(container: &str) -> Result<String, Error> {
    Ok(format!("/20210415/containers/{}/logs", client::segment("container", container)?))
}

/// Copies a log to standard output as it comes, without the first `printed` bytes; counts those that it prints.
pub(super) async fn copy(
    client: &Client,
    path: &str,
    query: client::Query<'_>,
    printed: &mut usize,
) -> Result<(), Error> {
    let mut answer = client.stream(path, query).await?;
    let mut known = *printed;
    while let Some(piece) = answer.chunk().await.map_err(Error::io("read the log"))? {
        let new = &piece[known.min(piece.len())..];
        known -= known.min(piece.len());
        output::write_bytes(new)?;
        let _ = std::io::stdout().flush();
        *printed += new.len();
    }
    Ok(())
}
