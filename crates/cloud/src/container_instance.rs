//! Container instances: one or more containers without Kubernetes, on the same hosts and by the same agents as pods. What a
//! tenant asks for, the rules, and the life from CREATING to DELETED.

pub(crate) mod act;
mod answer;
pub(crate) mod api;
mod check;
pub(crate) mod hosts;
mod operation;
mod pod;
mod reconcile;
mod shape;
pub(crate) mod store;
mod stream;
mod view;
mod wire;
mod words;

pub(crate) use words::{InstanceState, RestartPolicy, Wish};

use crate::{
    Error,
    access::Resource,
    caller::Owned,
    cluster::check_name,
    config::Config,
    error::invalid,
    rest,
    tag::{self, DefinedTags, FreeformTags},
};
use domain::{CompartmentId, ContainerId, ContainerInstanceId, TenantId, VnicId};
use problem::oci;
use shape::{Shape, Size};
use view::Seen;
use wire::{CreateInstanceDetails, UpdateInstanceDetails};
use words::VolumeType;

/// Time that containers get between SIGTERM and SIGKILL unless the request says otherwise.
/// Source: default of `terminationGracePeriodSeconds`, Kubernetes Pod v1 reference.
const DEFAULT_GRACE_SECONDS: u32 = 30;

/// One container instance.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) id: ContainerInstanceId,
    pub(crate) tenancy_id: TenantId,
    pub(crate) compartment_id: CompartmentId,
    pub(crate) display_name: String,
    pub(crate) state: InstanceState,
    pub(crate) details: Option<String>,
    pub(crate) size: Size,
    /// As the caller gave it, and as updates changed it. Sealed at rest, never answered whole.
    pub(crate) spec: CreateInstanceDetails,
    pub(crate) vnic_id: VnicId,
    /// The network that it is in, and the range of its subnet.
    pub(crate) network_id: String,
    pub(crate) address_range: String,
    /// The address of its latest run.
    pub(crate) private_ip: Option<String>,
    pub(crate) wish: Wish,
    /// Counts its starts; a placement of an earlier one must go.
    pub(crate) run: i64,
    /// Grows with each change that its host must know.
    pub(crate) generation: i64,
    pub(crate) placed: Option<PlacedRow>,
    pub(crate) version: i64,
    pub(crate) work_request_id: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: Option<i64>,
    pub(crate) state_ms: i64,
}

/// The placement that an instance has, or is about to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedRow {
    /// Made anew for each start: usage is accounted by it.
    pub(crate) uid: String,
    pub(crate) run: i64,
    /// The generation that was put last.
    pub(crate) generation: i64,
    /// It was on a host: it never comes back from being gone.
    pub(crate) seen: bool,
}

/// One container of an instance; what it runs is in the instance's spec.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) instance_id: ContainerInstanceId,
    /// Its instance's.
    pub(crate) compartment_id: CompartmentId,
    /// Its place in the spec's list.
    pub(crate) number: usize,
    pub(crate) display_name: String,
    pub(crate) tags: Tags,
    pub(crate) seen: Seen,
    pub(crate) version: i64,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: Option<i64>,
}

/// Tags of both kinds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tags {
    pub(crate) freeform: FreeformTags,
    pub(crate) defined: DefinedTags,
}

impl Tags {
    /// What a request says, or else what was before.
    pub(crate) fn or(
        freeform: Option<FreeformTags>,
        defined: Option<DefinedTags>,
        before: Self,
    ) -> Result<Self, Error> {
        let tags = Self { freeform: freeform.unwrap_or(before.freeform), defined: defined.unwrap_or(before.defined) };
        tag::check(&tags.freeform, &tags.defined).map(|()| tags)
    }
}

impl Owned for Instance {
    const RESOURCE: Resource = Resource::ContainerInstances;
    const NOUN: &'static str = "container instance";

    fn compartment(&self) -> &CompartmentId {
        &self.compartment_id
    }

    fn name(&self) -> &str {
        &self.display_name
    }
}

impl Owned for Container {
    const RESOURCE: Resource = Resource::Containers;
    const NOUN: &'static str = "container";

    fn compartment(&self) -> &CompartmentId {
        &self.compartment_id
    }

    fn name(&self) -> &str {
        &self.display_name
    }
}

impl Instance {
    /// Its version as clients see it.
    pub(crate) fn etag(&self) -> String {
        rest::etag(self.id.as_str(), self.version)
    }

    /// Its shape; those that are stored are known.
    pub(crate) fn shape(&self) -> Result<Shape, Error> {
        shape::find(&self.spec.shape)
    }

    /// Refuses what only an instance in one of these states can do.
    pub(crate) fn require(&self, states: &[InstanceState]) -> Result<(), Error> {
        if states.contains(&self.state) {
            return Ok(());
        }
        let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
        let message = format!("the container instance is {}; it must be {} for this", self.state, words.join(" or "));
        Err(oci::Error::incorrect_state(message).into())
    }
}

impl Container {
    /// Its version as clients see it.
    pub(crate) fn etag(&self) -> String {
        rest::etag(self.id.as_str(), self.version)
    }
}

/// Where an instance is attached.
#[derive(Debug, Clone)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) network_id: String,
    pub(crate) range: String,
}

/// Makes the instance that a request describes, and its containers; checks all of it.
pub(crate) fn plan(
    mut details: CreateInstanceDetails,
    owner: (&TenantId, CompartmentId),
    subnet: Subnet,
    config: &Config,
    now_ms: i64,
) -> Result<(Instance, Vec<Container>), Error> {
    let shape = shape::find(&details.shape)?;
    let size = shape.size(&details.shape_config)?;
    check::create(&details, &shape, size)?;
    Tags::or(details.freeform_tags.clone(), details.defined_tags.clone(), Tags::default())?;
    check_place(&details, config)?;
    if let Some(vnic) = details.vnics.first_mut() {
        vnic.subnet_id = Some(subnet.id);
    }
    let id = ContainerInstanceId::generate();
    // Source: OCI's documentation: "If you don't provide a name, a name is generated automatically."
    let named = |name: Option<String>, kind: &str, id: &str| name.unwrap_or_else(|| format!("{kind}-{}", &id[..8]));
    let display_name = named(details.display_name.take(), "containerinstance", id.unique());
    details.display_name = Some(display_name.clone());
    let container = |(number, container): (usize, &mut wire::CreateContainerDetails)| {
        let container_id = ContainerId::generate();
        Ok::<_, Error>(Container {
            display_name: named(container.display_name.take(), "container", container_id.unique()),
            id: container_id,
            instance_id: id.clone(),
            compartment_id: owner.1.clone(),
            number,
            tags: Tags::or(container.freeform_tags.take(), container.defined_tags.take(), Tags::default())?,
            seen: Seen::new(),
            version: 1,
            created_ms: now_ms,
            updated_ms: None,
        })
    };
    let containers = details.containers.iter_mut().enumerate().map(container).collect::<Result<_, _>>()?;
    let instance = Instance {
        id: id.clone(),
        tenancy_id: owner.0.clone(),
        compartment_id: owner.1,
        display_name: check_name("displayName", display_name)?,
        state: InstanceState::Creating,
        details: None,
        size,
        spec: details,
        vnic_id: VnicId::generate(),
        network_id: subnet.network_id,
        address_range: subnet.range,
        private_ip: None,
        wish: Wish::Run,
        run: 1,
        generation: now_ms,
        placed: None,
        version: 1,
        work_request_id: None,
        created_ms: now_ms,
        updated_ms: None,
        state_ms: now_ms,
    };
    Ok((instance, containers))
}

fn check_place(details: &CreateInstanceDetails, config: &Config) -> Result<(), Error> {
    let (domain, known) = (&details.availability_domain, &config.availability_domains);
    if !known.contains(domain) {
        return Err(invalid(format!("availabilityDomain {domain:?} is not one of {}", known.join(", "))));
    }
    match &details.fault_domain {
        Some(domain) if !config.fault_domains.contains(domain) => {
            Err(invalid(format!("faultDomain {domain:?} is not one of {}", config.fault_domains.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Applies an update. What hosts must know gets a new generation.
pub(crate) fn apply(mut instance: Instance, details: UpdateInstanceDetails, now_ms: i64) -> Result<Instance, Error> {
    let before = instance.spec.clone();
    if let Some(name) = details.display_name {
        instance.display_name = check_name("displayName", name)?;
    }
    let spec = &mut instance.spec;
    spec.freeform_tags = details.freeform_tags.or(spec.freeform_tags.take());
    spec.defined_tags = details.defined_tags.or(spec.defined_tags.take());
    Tags::or(spec.freeform_tags.clone(), spec.defined_tags.clone(), Tags::default())?;
    check::grace(details.graceful_shutdown_timeout_in_seconds)?;
    spec.graceful_shutdown_timeout_in_seconds =
        details.graceful_shutdown_timeout_in_seconds.or(spec.graceful_shutdown_timeout_in_seconds);
    spec.container_restart_policy = details.container_restart_policy.or(spec.container_restart_policy);
    if let Some(secrets) = details.image_pull_secrets {
        check::pull_secrets(&secrets)?;
        spec.image_pull_secrets = Some(secrets);
    }
    for volume in details.volumes.into_iter().flatten() {
        replace_files(spec, volume)?;
    }
    check::volumes(spec.volumes())?;
    let untagged =
        |spec: CreateInstanceDetails| CreateInstanceDetails { freeform_tags: None, defined_tags: None, ..spec };
    if untagged(instance.spec.clone()) != untagged(before) {
        instance.generation = now_ms.max(instance.generation + 1);
    }
    Ok(instance)
}

/// Replaces the files of a volume that the instance has: containers see them without a restart.
fn replace_files(spec: &mut CreateInstanceDetails, volume: wire::Volume) -> Result<(), Error> {
    let name = &volume.name;
    if volume.volume_type != VolumeType::ConfigFile {
        return Err(invalid(format!(
            "volumes: {name:?} can't be changed: only CONFIGFILE volumes have files to change"
        )));
    }
    let known = spec.volumes.iter_mut().flatten().find(|known| known.name == *name);
    match known.filter(|known| known.volume_type == VolumeType::ConfigFile) {
        Some(known) => known.configs = volume.configs,
        None => return Err(invalid(format!("volumes: the instance has no CONFIGFILE volume {name:?}"))),
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
