//! Shapes of pods and of container instances.

use crate::{
    client::Client,
    error::Error,
    output::{Column, Output},
};
use clap::Subcommand;

/// What is told of a shape.
pub(crate) const COLUMNS: &[Column] = &[
    Column("NAME", "/name"),
    Column("PROCESSOR", "/processorDescription"),
    Column("MIN OCPU", "/ocpuOptions/0/min"),
    Column("MAX OCPU", "/ocpuOptions/0/max"),
    Column("MAX GB", "/memoryOptions/0/maxInGBs"),
];

/// What to do with pod shapes.
#[derive(Debug, Subcommand)]
pub(crate) enum PodShapeVerb {
    /// List pod shapes
    List {
        /// Only the one of this name
        #[arg(long)]
        name: Option<String>,
    },
}

pub(crate) async fn run(client: &Client, out: Output, verb: PodShapeVerb) -> Result<(), Error> {
    let PodShapeVerb::List { name } = verb;
    let mut query = vec![("compartmentId", client.compartment()?)];
    query.extend(name.as_deref().map(|name| ("name", name)));
    out.list(&client.list("/20180222/podShapes", &query).await?, COLUMNS)
}
