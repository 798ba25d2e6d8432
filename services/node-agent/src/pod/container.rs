//! A container's configuration for the CRI.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, SecurityContext, VolumeMount};

use crate::cri::view::HASH_ANNOTATION;
use crate::cri::{CONTAINER_NAME_LABEL, v1};
use crate::paths::{Paths, log_name};
use crate::placement::Desired;
use crate::pod::downward::Facts;
use crate::pod::env::{self, ConfigError};
use crate::pod::{diff, resources, sandbox, subpath, volume};

/// Where a container leaves its last words unless it says otherwise.
/// Source: default of `terminationMessagePath`, Kubernetes Container v1 reference.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Works out the configuration; makes the few host files it mounts.
///
/// # Errors
/// If the pod's owner asked for what cannot be: shown as `CreateContainerConfigError`.
pub fn config(
    desired: &Desired,
    container: &Container,
    attempt: u32,
    facts: &Facts,
    image: &v1::Image,
    paths: &Paths,
) -> Result<v1::ContainerConfig, ConfigError> {
    let process = env::process(desired, container, facts)?;
    let security = security(desired, container, image)?;
    let mounts = mounts(desired, container, attempt, facts, paths)?;
    let mut labels = sandbox::labels(desired);
    labels.insert(CONTAINER_NAME_LABEL.to_owned(), container.name.clone());
    let envs = process.env.into_iter().map(|(key, value)| v1::KeyValue { key, value }).collect();
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt }),
        image: Some(v1::ImageSpec { image: image.id.clone(), ..Default::default() }),
        command: process.command,
        args: process.args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs,
        mounts,
        labels,
        annotations: HashMap::from([(HASH_ANNOTATION.to_owned(), diff::definition_hash(container))]),
        log_path: log_name(&container.name, attempt),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources::container(desired, container)),
            security_context: Some(security),
        }),
        ..Default::default()
    })
}

fn security(
    desired: &Desired,
    container: &Container,
    image: &v1::Image,
) -> Result<v1::LinuxContainerSecurityContext, ConfigError> {
    let own = container.security_context.clone().unwrap_or_default();
    let pod = desired.spec().security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(pod.run_as_user);
    let group = own.run_as_group.or(pod.run_as_group);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
        check_not_root(user, image)?;
    }
    let mut context = v1::LinuxContainerSecurityContext {
        capabilities: Some(capabilities(&own)),
        namespace_options: Some(sandbox::namespaces(desired)),
        run_as_group: group.map(|value| v1::Int64Value { value }),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: pod.fs_group.into_iter().chain(pod.supplemental_groups.into_iter().flatten()).collect(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        seccomp: Some(sandbox::seccomp()),
        masked_paths: MASKED.iter().map(|p| (*p).to_owned()).collect(),
        readonly_paths: READONLY.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    match (user, &image.uid) {
        (Some(value), _) => context.run_as_user = Some(v1::Int64Value { value }),
        (None, Some(uid)) => context.run_as_user = Some(*uid),
        (None, None) => context.run_as_username = image.username.clone(),
    }
    if context.run_as_user.is_none() && context.run_as_username.is_empty() {
        // The CRI wants a user wherever there is a group.
        context.run_as_user = context.run_as_group.map(|_| v1::Int64Value { value: 0 });
    }
    Ok(context)
}

/// Source: `DefaultMaskedPaths` and `DefaultReadonlyPaths` of the kubelet and containerd.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn check_not_root(user: Option<i64>, image: &v1::Image) -> Result<(), ConfigError> {
    let user = user.or(image.uid.map(|u| u.value));
    match user {
        Some(0) => Err(ConfigError("container's runAsUser breaks non-root policy".to_owned())),
        Some(_) => Ok(()),
        None if image.username.is_empty() => {
            Err(ConfigError("container has runAsNonRoot and image will run as root".to_owned()))
        }
        None => Err(ConfigError(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root",
            image.username
        ))),
    }
}

fn capabilities(own: &SecurityContext) -> v1::Capability {
    let wish = own.capabilities.clone().unwrap_or_default();
    v1::Capability {
        add_capabilities: wish.add.unwrap_or_default(),
        drop_capabilities: wish.drop.unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    }
}

fn mounts(
    desired: &Desired,
    container: &Container,
    attempt: u32,
    facts: &Facts,
    paths: &Paths,
) -> Result<Vec<v1::Mount>, ConfigError> {
    let mut mounts = Vec::new();
    for (index, wish) in container.volume_mounts.iter().flatten().enumerate() {
        mounts.push(volume_mount(desired, container, index, wish, facts, paths)?);
    }
    let fail = |what: &str, error: std::io::Error| ConfigError(format!("failed to prepare {what}: {error}"));
    let taken = |path: &str| container.volume_mounts.iter().flatten().any(|m| m.mount_path == path);
    if !taken("/etc/hosts") {
        let hosts = paths.hosts_file(desired.uid());
        std::fs::write(&hosts, sandbox::hosts_file(desired, &facts.pod_ip)).map_err(|e| fail("/etc/hosts", e))?;
        mounts.push(bind(&hosts, "/etc/hosts", false));
    }
    let words = paths.termination_log(desired.uid(), &container.name, attempt);
    make_writable(&words).map_err(|e| fail("the termination log", e))?;
    let target = container.termination_message_path.as_deref().filter(|p| !p.is_empty()).unwrap_or(TERMINATION_LOG);
    mounts.push(bind(&words, target, false));
    Ok(mounts)
}

fn make_writable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::File::create(path)?;
    // Whoever the container runs as may write; nobody else can reach the file.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}

fn volume_mount(
    desired: &Desired,
    container: &Container,
    index: usize,
    wish: &VolumeMount,
    facts: &Facts,
    paths: &Paths,
) -> Result<v1::Mount, ConfigError> {
    let volume = desired.spec().volumes.iter().flatten().find(|v| v.name == wish.name);
    let volume = volume.ok_or_else(|| {
        ConfigError(format!("cannot find volume {:?} to mount into container {:?}", wish.name, container.name))
    })?;
    let uid = desired.uid();
    let mut source: PathBuf = volume::host_path(paths, uid, volume);
    let sub_path = match (&wish.sub_path_expr, &wish.sub_path) {
        (Some(text), _) if !text.is_empty() => {
            let process = env::process(desired, container, facts)?;
            let value = |name: &str| process.env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
            Some(env::expand(text, value))
        }
        (_, Some(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    if let Some(sub_path) = sub_path {
        let point = subpath::point(paths, uid, &container.name, index);
        let writable = volume.empty_dir.is_some();
        source = subpath::bind(&source, Path::new(&sub_path), &point, writable).map_err(|error| {
            ConfigError(format!(
                "failed to prepare subPath for volumeMount {:?} of container {:?}: {error}",
                wish.name, container.name
            ))
        })?;
    }
    // Only an emptyDir is the pod's to write; the rest is ours to replace.
    let readonly = wish.read_only == Some(true) || volume.empty_dir.is_none();
    Ok(bind(&source, &wish.mount_path, readonly))
}

fn bind(source: &Path, target: &str, readonly: bool) -> v1::Mount {
    v1::Mount {
        container_path: target.to_owned(),
        host_path: source.to_string_lossy().into_owned(),
        readonly,
        ..Default::default()
    }
}
