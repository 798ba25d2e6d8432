//! Audit events: who changed what.

use crate::{
    client::{Ask, Client},
    error::Error,
    output::{Column, Output},
};
use clap::Subcommand;
use jiff::{Timestamp, ToSpan};
use reqwest::Method;

const COLUMNS: &[Column] = &[
    Column("TIME", "/eventTime"),
    Column("WHO", "/data/identity/principalName"),
    Column("FROM", "/data/identity/ipAddress"),
    Column("WHAT", "/data/eventName"),
    Column("STATUS", "/data/response/status"),
    Column("RESOURCE", "/data/resourceId"),
];

/// What to do with audit events.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditEventVerb {
    /// List the changes in the compartment to work in
    List {
        /// From then on, as `2026-01-31T00:00:00Z` [default: an hour before the end]
        #[arg(long, value_name = "TIME")]
        start_time: Option<Timestamp>,
        /// Until then [default: now]
        #[arg(long, value_name = "TIME")]
        end_time: Option<Timestamp>,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: AuditEventVerb) -> Result<(), Error> {
    let AuditEventVerb::List { start_time, end_time } = verb;
    let end = end_time.unwrap_or_else(Timestamp::now);
    let start = start_time.or_else(|| end.checked_sub(1.hour()).ok()).unwrap_or(end);
    let (start, end) = (start.to_string(), end.to_string());
    let query = [("compartmentId", client.compartment()?), ("startTime", &start), ("endTime", &end)];
    let ask = Ask { query: &query, ..Ask::new(&Method::GET, "/20190901/auditEvents") };
    out.list(&client.pages(ask).await?, COLUMNS)
}
