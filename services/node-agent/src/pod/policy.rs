//! What pods of tenants may not ask of a shared host. Pure. Roughly the Pod Security Standard "baseline".

use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile};

use crate::placement::{Desired, all_containers};
use crate::pod::volume;

/// Capabilities that may be added. Source: Pod Security Standards, baseline.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Namespaced sysctls that cannot hurt other pods. Source: Kubernetes' safe set.
const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// The first thing in the pod that is refused here, in words for its owner.
pub fn refused(desired: &Desired) -> Option<String> {
    let spec = desired.spec();
    pod_refused(spec).or_else(|| {
        all_containers(spec).find_map(|c| container_refused(c).map(|why| format!("container {:?}: {why}", c.name)))
    })
}

fn pod_refused(spec: &PodSpec) -> Option<String> {
    let flags = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    if let Some((name, _)) = flags.iter().find(|(_, flag)| *flag == Some(true)) {
        return Some(format!("{name} is not available on virtual nodes"));
    }
    for volume in spec.volumes.iter().flatten() {
        if let Some(kind) = volume::refused(volume) {
            return Some(format!("volume {:?}: {kind} volumes are not available on virtual nodes", volume.name));
        }
    }
    let security = spec.security_context.as_ref()?;
    for sysctl in security.sysctls.iter().flatten() {
        if !SYSCTLS.contains(&sysctl.name.as_str()) {
            return Some(format!("sysctl {:?} is not available on virtual nodes", sysctl.name));
        }
    }
    seccomp_refused(security.seccomp_profile.as_ref())
}

fn container_refused(container: &Container) -> Option<String> {
    let here = |what: &str| Some(format!("{what} is not available on virtual nodes"));
    if container.ports.iter().flatten().any(|p| p.host_port.is_some_and(|port| port != 0)) {
        return here("hostPort");
    }
    if container.volume_devices.as_ref().is_some_and(|d| !d.is_empty()) {
        return here("volumeDevices");
    }
    let security = container.security_context.as_ref()?;
    if security.privileged == Some(true) {
        return here("privileged");
    }
    if security.proc_mount.as_deref().is_some_and(|p| p != "Default") {
        return here("procMount");
    }
    for capability in security.capabilities.iter().flat_map(|c| c.add.iter().flatten()) {
        let name = capability.strip_prefix("CAP_").unwrap_or(capability);
        if !CAPABILITIES.contains(&name) {
            return here(&format!("capability {capability}"));
        }
    }
    seccomp_refused(security.seccomp_profile.as_ref())
}

fn seccomp_refused(profile: Option<&SeccompProfile>) -> Option<String> {
    let profile = profile.filter(|p| p.type_ != "RuntimeDefault")?;
    Some(format!("seccompProfile {} is not available on virtual nodes", profile.type_))
}

#[cfg(test)]
mod tests {
    use crate::pod::fixture::desired;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(spec: Value, expected: Option<&str>) {
        assert_eq!(super::refused(&desired(spec)).as_deref(), expected);
    }

    #[test]
    fn what_reaches_the_host_is_refused() {
        check(json!({"containers": [{"name": "c"}]}), None);
        check(json!({"containers": [], "hostNetwork": true}), Some("hostNetwork is not available on virtual nodes"));
        check(
            json!({"containers": [], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            Some("volume \"v\": hostPath volumes are not available on virtual nodes"),
        );
        check(
            json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]}),
            Some("container \"c\": privileged is not available on virtual nodes"),
        );
        check(
            json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}),
            Some("container \"c\": capability SYS_ADMIN is not available on virtual nodes"),
        );
        check(
            json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}}}]}),
            None,
        );
    }
}
