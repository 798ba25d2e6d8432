//! The rules that a request for a container instance must follow. Pure.

use super::{
    shape::{Shape, Size},
    wire::*,
    words::*,
};
use crate::{
    Error,
    cluster::{check_name, check_ocid},
    error::invalid,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

/// Source: `containers` of `CreateContainerInstanceDetails`, 1 to 60 items.
const MAX_CONTAINERS: usize = 60;
/// Source: OCI's documentation: "You can attach up to 32 volumes to single container instance."
const MAX_VOLUMES: usize = 32;
/// Source: OCI's documentation: all arguments, and all environment variables with their names, have at most 64 KB each.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Bytes of all config files of an instance. Source: the limit of a Kubernetes Secret, as which they travel.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Longest grace. Source: OCI's documentation, 300 seconds.
const MAX_GRACE_SECONDS: u32 = 300;
/// Health checks of one container: more only load the container.
const MAX_CHECKS: usize = 10;
/// Source: resolv.conf(5): three name servers are asked.
const MAX_NAMESERVERS: usize = 3;

/// Checks all that needs no look at anything else.
pub(super) fn create(details: &CreateInstanceDetails, shape: &Shape, size: Size) -> Result<(), Error> {
    let count = details.containers.len();
    if !(1..=MAX_CONTAINERS).contains(&count) {
        return Err(invalid(format!("containers must have 1 to {MAX_CONTAINERS} items, not {count}")));
    }
    grace(details.graceful_shutdown_timeout_in_seconds)?;
    volumes(details.volumes())?;
    for (number, container) in details.containers.iter().enumerate() {
        let at = format!("containers[{number}]");
        self::container(&at, container, details.volumes(), shape, size)?;
    }
    vnics(&details.vnics)?;
    details.dns_config.as_ref().map_or(Ok(()), dns)?;
    pull_secrets(details.image_pull_secrets.as_deref().unwrap_or_default())
}

/// Refuses graces that are too long.
pub(super) fn grace(seconds: Option<u32>) -> Result<(), Error> {
    let fits = seconds.is_none_or(|seconds| seconds <= MAX_GRACE_SECONDS);
    let message = || invalid(format!("gracefulShutdownTimeoutInSeconds must be from 0 to {MAX_GRACE_SECONDS}"));
    fits.then_some(()).ok_or_else(message)
}

fn container(
    at: &str,
    container: &CreateContainerDetails,
    volumes: &[Volume],
    shape: &Shape,
    size: Size,
) -> Result<(), Error> {
    if let Some(name) = &container.display_name {
        check_name(&format!("{at}.displayName"), name.clone())?;
    }
    let image = &container.image_url;
    if image.is_empty() || image.len() > 1024 || image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid(format!("{at}.imageUrl must name an image, as in docker.io/library/busybox:latest")));
    }
    for (field, texts) in [("command", &container.command), ("arguments", &container.arguments)] {
        let bytes: usize = texts.iter().flatten().map(String::len).sum();
        check_bytes(&format!("{at}.{field}"), bytes)?;
    }
    let environment = container.environment_variables.iter().flatten();
    if let Some((name, _)) = environment.clone().find(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(invalid(format!("{at}.environmentVariables: {name:?} is no variable's name")));
    }
    check_bytes(
        &format!("{at}.environmentVariables"),
        environment.map(|(name, value)| name.len() + value.len()).sum(),
    )?;
    if container.working_directory.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(invalid(format!("{at}.workingDirectory must be an absolute path")));
    }
    mounts(at, container.volume_mounts.as_deref().unwrap_or_default(), volumes)?;
    container.resource_config.as_ref().map_or(Ok(()), |limits| self::limits(at, limits, shape, size))?;
    checks(at, container.health_checks.as_deref().unwrap_or_default())?;
    container.security_context.as_ref().map_or(Ok(()), |context| security(at, context))
}

fn check_bytes(field: &str, bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(invalid(format!("{field} has {bytes} bytes in all; at most {MAX_TEXT_BYTES} are possible")))
}

fn mounts(at: &str, mounts: &[VolumeMount], volumes: &[Volume]) -> Result<(), Error> {
    let mut paths = BTreeSet::new();
    for mount in mounts {
        let (name, path) = (&mount.volume_name, &mount.mount_path);
        if !volumes.iter().any(|volume| volume.name == *name) {
            return Err(invalid(format!("{at}.volumeMounts: there is no volume {name:?}")));
        }
        if !path.starts_with('/') || path == "/" || path.contains(':') || path.split('/').any(|part| part == "..") {
            return Err(invalid(format!("{at}.volumeMounts: mountPath {path:?} must be an absolute path below /")));
        }
        if !paths.insert(path) {
            return Err(invalid(format!("{at}.volumeMounts: mountPath {path:?} is there twice")));
        }
        mount.sub_path.as_ref().map_or(Ok(()), |sub| relative(&format!("{at}.volumeMounts: subPath"), sub))?;
        if mount.partition.is_some() {
            return Err(invalid(format!("{at}.volumeMounts: volumes here have no partitions; leave partition out")));
        }
    }
    Ok(())
}

fn relative(field: &str, path: &str) -> Result<(), Error> {
    let fits = !path.starts_with('/') && !path.split('/').any(|part| part == "..") && path.len() <= 4096;
    fits.then_some(()).ok_or_else(|| invalid(format!("{field} {path:?} must be a relative path without \"..\"")))
}

fn limits(at: &str, limits: &ResourceConfig, shape: &Shape, size: Size) -> Result<(), Error> {
    let (cpus, memory) = ((size.ocpus * shape.cpus_per_ocpu) as f64, size.memory_gb as f64);
    if limits.vcpus_limit.is_some_and(|limit| !(limit >= 0.01 && limit <= cpus)) {
        return Err(invalid(format!(
            "{at}.resourceConfig.vcpusLimit must be from 0.01 to {cpus}, the logical CPUs of the instance"
        )));
    }
    // Source: containers do not start with less memory than some 6 MB; 32 MB leave them a chance.
    if limits.memory_limit_in_gbs.is_some_and(|limit| !(limit >= 0.03125 && limit <= memory)) {
        return Err(invalid(format!(
            "{at}.resourceConfig.memoryLimitInGBs must be from 0.03125 to {memory}, the memory of the instance"
        )));
    }
    Ok(())
}

fn checks(at: &str, checks: &[HealthCheck]) -> Result<(), Error> {
    if checks.len() > MAX_CHECKS {
        return Err(invalid(format!("{at}.healthChecks must have at most {MAX_CHECKS} items")));
    }
    for (number, check) in checks.iter().enumerate() {
        let at = format!("{at}.healthChecks[{number}]");
        let range = |field: &str, value: Option<i32>, least: i32| match value {
            Some(value) if !(least..=86_400).contains(&value) => {
                Err(invalid(format!("{at}.{field} must be from {least} to 86400")))
            }
            _ => Ok(()),
        };
        range("initialDelayInSeconds", check.initial_delay_in_seconds, 0)?;
        range("intervalInSeconds", check.interval_in_seconds, 1)?;
        range("failureThreshold", check.failure_threshold, 1)?;
        range("successThreshold", check.success_threshold, 1)?;
        range("timeoutInSeconds", check.timeout_in_seconds, 1)?;
        if check.port == 0 {
            return Err(invalid(format!("{at}.port must be from 1 to 65535")));
        }
        match (check.health_check_type, &check.path, &check.headers) {
            (HealthCheckType::Http, Some(path), _) if path.starts_with('/') => {}
            (HealthCheckType::Http, ..) => return Err(invalid(format!("{at}.path must begin with /"))),
            (HealthCheckType::Tcp, None, None) => {}
            (HealthCheckType::Tcp, ..) => return Err(invalid(format!("{at}: a TCP check has no path and no headers"))),
        }
        let named = |header: &HttpHeader| {
            http::HeaderName::try_from(&header.name).is_ok() && http::HeaderValue::try_from(&header.value).is_ok()
        };
        if let Some(header) = check.headers.iter().flatten().find(|header| !named(header)) {
            return Err(invalid(format!("{at}.headers: {:?} is no header's name, or its value is none", header.name)));
        }
    }
    Ok(())
}

fn security(at: &str, context: &SecurityContext) -> Result<(), Error> {
    let at = format!("{at}.securityContext");
    let ids = [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)];
    if let Some((field, _)) = ids.iter().find(|(_, id)| id.is_some_and(|id| !(0..=65_535).contains(&id))) {
        return Err(invalid(format!("{at}.{field} must be from 0 to 65535")));
    }
    // Source: the SDK's documentation of `runAsUser`.
    if context.run_as_group.is_some() && context.run_as_user.is_none() {
        return Err(invalid(format!("{at}.runAsUser must be given if runAsGroup is")));
    }
    if context.is_non_root_user_check_enabled == Some(true) && context.run_as_user == Some(0) {
        return Err(invalid(format!("{at}: runAsUser 0 is root, which isNonRootUserCheckEnabled forbids")));
    }
    Ok(())
}

/// Checks volumes, and that all their files can be made.
pub(super) fn volumes(volumes: &[Volume]) -> Result<(), Error> {
    if volumes.len() > MAX_VOLUMES {
        return Err(invalid(format!("volumes must have at most {MAX_VOLUMES} items")));
    }
    let (mut names, mut bytes) = (BTreeSet::new(), 0);
    for volume in volumes {
        let name = &volume.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 63 || name.starts_with('.') || !name.chars().all(plain) {
            return Err(invalid(format!("volumes: name {name:?} must have 1 to 63 letters, digits, '-', '_' or '.'")));
        }
        if !names.insert(name) {
            return Err(invalid(format!("volumes: name {name:?} is there twice")));
        }
        match volume.volume_type {
            VolumeType::EmptyDir if volume.configs.is_some() => {
                return Err(invalid(format!("volume {name:?}: an EMPTYDIR has no configs")));
            }
            VolumeType::ConfigFile if volume.backing_store.is_some() => {
                return Err(invalid(format!("volume {name:?}: a CONFIGFILE has no backingStore")));
            }
            VolumeType::EmptyDir => {}
            VolumeType::ConfigFile => bytes += files(name, volume.configs.as_deref().unwrap_or_default())?,
        }
    }
    if bytes > MAX_CONFIG_BYTES {
        return Err(invalid(format!(
            "the config files have {bytes} bytes in all; at most {MAX_CONFIG_BYTES} are possible"
        )));
    }
    Ok(())
}

fn files(volume: &str, files: &[ConfigFile]) -> Result<usize, Error> {
    let (mut paths, mut bytes) = (BTreeSet::new(), 0);
    for file in files {
        let name = &file.file_name;
        if name.is_empty() || name.contains('/') || name.starts_with("..") || name == "." || name.len() > 255 {
            return Err(invalid(format!("volume {volume:?}: fileName {name:?} is no file's name")));
        }
        file.path.as_ref().map_or(Ok(()), |path| relative(&format!("volume {volume:?}: path"), path))?;
        if !paths.insert(file_path(file)) {
            return Err(invalid(format!("volume {volume:?}: file {:?} is there twice", file_path(file))));
        }
        let data = STANDARD.decode(&file.data);
        bytes += data.map_err(|_| invalid(format!("volume {volume:?}: data of {name:?} must be base64")))?.len();
    }
    Ok(bytes)
}

/// Where a file lies in its volume.
pub(super) fn file_path(file: &ConfigFile) -> String {
    let parts = file.path.iter().flat_map(|path| path.split('/')).filter(|part| !part.is_empty() && *part != ".");
    parts.chain([file.file_name.as_str()]).collect::<Vec<_>>().join("/")
}

fn vnics(vnics: &[CreateVnicDetails]) -> Result<(), Error> {
    // Source: "Container Instances Shapes": one VNIC.
    let [vnic] = vnics else { return Err(invalid("vnics must have exactly one item")) };
    if let Some(subnet) = &vnic.subnet_id {
        check_ocid("vnics[0].subnetId", "subnet", subnet)?;
    }
    if vnic.private_ip.as_ref().is_some_and(|address| address.parse::<Ipv4Addr>().is_err()) {
        return Err(invalid("vnics[0].privateIp must be an IPv4 address"));
    }
    if vnic.is_public_ip_assigned == Some(true) {
        return Err(invalid(
            "vnics[0].isPublicIpAssigned: this installation has no public addresses for container instances; leave it \
             out, or set it to false",
        ));
    }
    let label = |label: &String| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    if vnic.hostname_label.as_ref().is_some_and(|name| !label(name)) {
        return Err(invalid(
            "vnics[0].hostnameLabel must have 1 to 63 letters, digits or '-', the last not at its ends",
        ));
    }
    Ok(())
}

fn dns(config: &DnsConfig) -> Result<(), Error> {
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if servers.len() > MAX_NAMESERVERS || servers.iter().any(|server| server.parse::<IpAddr>().is_err()) {
        return Err(invalid(format!(
            "dnsConfig.nameservers must have at most {MAX_NAMESERVERS} items, all of them addresses"
        )));
    }
    let words = config.searches.iter().chain(&config.options).flatten();
    let plain = |word: &String| !word.is_empty() && word.len() <= 253 && word.chars().all(|c| c.is_ascii_graphic());
    match words.into_iter().find(|word| !plain(word)) {
        Some(word) => Err(invalid(format!("dnsConfig: {word:?} can't be written into resolv.conf"))),
        None => Ok(()),
    }
}

/// Checks credentials of registries; says nothing of them.
pub(super) fn pull_secrets(secrets: &[ImagePullSecret]) -> Result<(), Error> {
    for (number, secret) in secrets.iter().enumerate() {
        let at = format!("imagePullSecrets[{number}]");
        if secret.secret_type == SecretType::Vault {
            return Err(invalid(format!("{at}: there is no vault here; use secretType BASIC")));
        }
        if secret.registry_endpoint.is_empty() || secret.secret_id.is_some() {
            return Err(invalid(format!("{at}: a BASIC secret has registryEndpoint, username and password")));
        }
        for (field, value) in [("username", &secret.username), ("password", &secret.password)] {
            if value.as_ref().and_then(|value| plain(value)).is_none() {
                return Err(invalid(format!("{at}.{field} must be given, in base64")));
            }
        }
    }
    Ok(())
}

/// The text in a base64 field.
pub(super) fn plain(base64: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64).ok()?).ok()
}
