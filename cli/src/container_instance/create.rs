//! Creating container instances, and what they run.

use super::KIND;
use crate::{
    args::{Extra, Wait},
    client::Client,
    error::Error,
    nsg,
    output::Output,
    request::{Body, pair},
    subnet,
};
use clap::{Args as Group, ValueEnum};
use serde_json::{Map, Value, json};

/// What an instance is if nobody says. Source: OCI's console.
const SHAPE: &str = "CI.Standard.E4.Flex";

/// When containers that have ended start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Restart {
    /// Always
    Always,
    /// Never
    Never,
    /// When they ended with another code than 0
    OnFailure,
}

impl Restart {
    /// The API's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Always => "ALWAYS",
            Self::Never => "NEVER",
            Self::OnFailure => "ON_FAILURE",
        }
    }
}

/// What an instance is.
#[derive(Debug, Group)]
pub(super) struct Place {
    /// Kind of processor [default: CI.Standard.E4.Flex]
    #[arg(long)]
    shape: Option<String>,
    /// Number of OCPUs [default: 1]
    #[arg(long, value_name = "NUMBER")]
    ocpus: Option<f64>,
    /// Memory in GB [default: the shape's share for the OCPUs]
    #[arg(long, value_name = "NUMBER")]
    memory: Option<f64>,
    /// Subnet [default: that of the compartment's default network]
    #[arg(long, value_name = "NAME|OCID")]
    subnet: Option<String>,
    /// Security group; may be repeated
    #[arg(long = "nsg", value_name = "NAME|OCID")]
    nsgs: Vec<String>,
    /// Give it an address that can be reached from outside
    #[arg(long)]
    public_ip: bool,
    /// Availability domain [default: the region's first]
    #[arg(long, value_name = "NAME")]
    availability_domain: Option<String>,
    /// Environment variable, as `NAME=value`; may be repeated
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Working directory of the container
    #[arg(long, value_name = "PATH")]
    working_directory: Option<String>,
    /// Run this program instead of the image's; the arguments follow it
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
}

/// How to create an instance.
#[derive(Debug, Group)]
pub(crate) struct Create {
    /// Image of the container
    #[arg(required_unless_present = "from_file")]
    image: Option<String>,
    /// Arguments of the container
    #[arg(last = true)]
    arguments: Vec<String>,
    /// Name of the new instance
    #[arg(long)]
    name: Option<String>,
    /// When the container starts again after its end [default: always]
    #[arg(long, value_enum)]
    restart: Option<Restart>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    extra: Extra,
    #[command(flatten)]
    wait: Wait,
}

/// Creates an instance.
pub(super) async fn create(client: &Client, out: Output, how: Create) -> Result<(), Error> {
    let container = how.image.map(|image| container(&how.place, image, how.arguments)).transpose()?;
    let body = Body::default()
        .set("displayName", how.name)
        .list("containers", container.into_iter().collect())
        .set("containerRestartPolicy", how.restart.map(Restart::word))
        .with(&how.extra)?;
    let body = placed(client, body, &how.place).await?;
    KIND.create(client, out, (body, &Extra::default()), Some(how.wait)).await
}

/// A container of an image.
pub(super) fn container(place: &Place, image: String, arguments: Vec<String>) -> Result<Value, Error> {
    let variables: Map<String, Value> = place
        .variables
        .iter()
        .map(|text| pair("--env", text).map(|(name, value)| (name, json!(value))))
        .collect::<Result<_, _>>()?;
    let body = Body::default()
        .set("imageUrl", Some(image))
        .list("command", place.entrypoint.iter().cloned().collect())
        .list("arguments", arguments)
        .set("workingDirectory", place.working_directory.clone())
        .set("environmentVariables", Some(variables).filter(|all| !all.is_empty()));
    Ok(body.json())
}

/// The body with where the instance is and how large: what was said by flags, else by the file, else what is usual.
pub(super) async fn placed(client: &Client, body: Body, place: &Place) -> Result<Body, Error> {
    let mut body = body.set("shape", place.shape.clone()).usual("shape", SHAPE);
    if place.ocpus.is_some() || place.memory.is_some() || body.get("shapeConfig").is_none() {
        let size = Body::default().set("ocpus", Some(place.ocpus.unwrap_or(1.0))).set("memoryInGBs", place.memory);
        body = body.set("shapeConfig", Some(size.json()));
    }
    body = body.set("availabilityDomain", place.availability_domain.clone());
    if body.get("availabilityDomain").is_none() {
        let domains = client.list("/20160918/availabilityDomains", &[("compartmentId", client.compartment()?)]).await?;
        body = body.set("availabilityDomain", domains.first().and_then(|domain| domain["name"].as_str()));
    }
    let is_told = place.subnet.is_some() || place.public_ip || !place.nsgs.is_empty();
    if is_told || body.get("vnics").is_none() {
        let vnic = Body::default()
            .set("subnetId", subnet::KIND.find_if(client, place.subnet.as_deref()).await?)
            .list("nsgIds", nsg::KIND.find_each(client, &place.nsgs).await?)
            .set("isPublicIpAssigned", Some(true).filter(|_| place.public_ip));
        body = body.list("vnics", vec![vnic.json()]);
    }
    Ok(body)
}
