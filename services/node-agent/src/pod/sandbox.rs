//! The sandbox's configuration: names, DNS, cgroup, security. Pure but for the host's resolv.conf, which is passed in.

use std::collections::HashMap;

use crate::cri::{POD_UID_LABEL, v1};
use crate::paths::Paths;
use crate::placement::Desired;
use crate::pod::resources;

/// Works out the sandbox's configuration.
pub fn config(
    desired: &Desired,
    paths: &Paths,
    cgroup_parent: &str,
    host: &v1::DnsConfig,
    attempt: u32,
) -> v1::PodSandboxConfig {
    let placement = &desired.placement;
    let metadata = v1::PodSandboxMetadata {
        name: placement.name.clone(),
        uid: placement.uid.clone(),
        namespace: placement.namespace.clone(),
        attempt,
    };
    let logs = paths.logs(&placement.namespace, &placement.name, &placement.uid);
    v1::PodSandboxConfig {
        metadata: Some(metadata),
        hostname: hostname(desired),
        log_directory: logs.to_string_lossy().into_owned(),
        dns_config: Some(dns(desired, host)),
        labels: labels(desired),
        annotations: HashMap::from([("hako.dev/cluster".to_owned(), placement.cluster_id.clone())]),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(security(desired)),
            sysctls: sysctls(desired),
            overhead: None,
            resources: Some(resources::pod(desired)),
        }),
        ..Default::default()
    }
}

/// Labels that find the pod's things in containerd again.
pub fn labels(desired: &Desired) -> HashMap<String, String> {
    let placement = &desired.placement;
    HashMap::from([
        (POD_UID_LABEL.to_owned(), placement.uid.clone()),
        ("io.kubernetes.pod.name".to_owned(), placement.name.clone()),
        ("io.kubernetes.pod.namespace".to_owned(), placement.namespace.clone()),
        ("io.kubernetes.pod.uid".to_owned(), placement.uid.clone()),
    ])
}

/// The pod's host name: at most 63 characters, as the kernel and the kubelet have it.
pub fn hostname(desired: &Desired) -> String {
    let spec = desired.spec();
    let name = spec.hostname.as_deref().filter(|h| !h.is_empty()).unwrap_or(&desired.placement.name);
    if spec.set_hostname_as_fqdn == Some(true)
        && let Some(full) = fqdn(desired)
    {
        return full;
    }
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The pod's full name in the cluster's domain, if it has a subdomain.
pub fn fqdn(desired: &Desired) -> Option<String> {
    let placement = &desired.placement;
    let subdomain = desired.spec().subdomain.as_deref().filter(|s| !s.is_empty())?;
    let host = desired.spec().hostname.as_deref().filter(|h| !h.is_empty()).unwrap_or(&placement.name);
    Some(format!("{host}.{subdomain}.{}.svc.{}", placement.namespace, domain_name(desired)))
}

fn domain_name(desired: &Desired) -> &str {
    Some(desired.placement.dns_domain.as_str()).filter(|d| !d.is_empty()).unwrap_or("cluster.local")
}

fn dns(desired: &Desired, host: &v1::DnsConfig) -> v1::DnsConfig {
    let (placement, spec) = (&desired.placement, desired.spec());
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let mut config = if policy == "None" {
        v1::DnsConfig::default()
    } else if policy == "Default" || placement.dns_address.is_empty() {
        host.clone()
    } else {
        let (namespace, domain) = (&placement.namespace, domain_name(desired));
        let own = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        v1::DnsConfig {
            servers: vec![placement.dns_address.clone()],
            searches: own.into_iter().chain(host.searches.iter().cloned()).collect(),
            options: vec!["ndots:5".to_owned()],
        }
    };
    if let Some(extra) = &spec.dns_config {
        config.servers.extend(extra.nameservers.iter().flatten().cloned());
        config.searches.extend(extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let name = option.name.as_deref().unwrap_or_default();
            config.options.retain(|o| o.split(':').next() != Some(name));
            config.options.push(match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            });
        }
    }
    let mut seen = std::collections::HashSet::new();
    config.searches.retain(|s| seen.insert(s.clone()));
    config
}

/// Reads the lines of a resolv.conf that the CRI has room for.
pub fn parse_resolv_conf(text: &str) -> v1::DnsConfig {
    let mut config = v1::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let key = words.next();
        let rest = words.map(str::to_owned);
        match key {
            Some("nameserver") => config.servers.extend(rest.take(1)),
            Some("search") => config.searches = rest.collect(),
            Some("options") => config.options = rest.collect(),
            _ => {}
        }
    }
    config
}

/// Which namespaces the pod's containers share.
pub fn namespaces(desired: &Desired) -> v1::NamespaceOption {
    let shared = desired.spec().share_process_namespace == Some(true);
    let pid = if shared { v1::NamespaceMode::Pod } else { v1::NamespaceMode::Container };
    v1::NamespaceOption {
        network: v1::NamespaceMode::Pod as i32,
        pid: pid as i32,
        ipc: v1::NamespaceMode::Pod as i32,
        ..Default::default()
    }
}

/// The runtime's own seccomp filter: nothing runs unfiltered here.
pub fn seccomp() -> v1::SecurityProfile {
    v1::SecurityProfile {
        profile_type: v1::security_profile::ProfileType::RuntimeDefault as i32,
        localhost_ref: String::new(),
    }
}

fn security(desired: &Desired) -> v1::LinuxSandboxSecurityContext {
    let pod = desired.spec().security_context.as_ref();
    let groups = pod.and_then(|p| p.fs_group).into_iter();
    let groups = groups.chain(pod.iter().flat_map(|p| p.supplemental_groups.iter().flatten().copied()));
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(desired)),
        supplemental_groups: groups.collect(),
        seccomp: Some(seccomp()),
        ..Default::default()
    }
}

fn sysctls(desired: &Desired) -> HashMap<String, String> {
    let all = desired.spec().security_context.iter().flat_map(|s| s.sysctls.iter().flatten());
    all.map(|s| (s.name.clone(), s.value.clone())).collect()
}

/// The pod's `/etc/hosts`, as the kubelet writes it.
pub fn hosts_file(desired: &Desired, ip: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    let name = hostname(desired);
    match fqdn(desired).filter(|f| *f != name) {
        Some(full) => text.push_str(&format!("{ip}\t{full}\t{name}\n")),
        None => text.push_str(&format!("{ip}\t{name}\n")),
    }
    let aliases = desired.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        text.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::fixture::desired;
    use serde_json::json;

    #[test]
    fn dns_follows_the_policy() {
        let host = parse_resolv_conf("nameserver 9.9.9.9\nsearch corp\noptions ndots:2\n");
        let mut pod = desired(json!({"containers": []}));
        assert_eq!(dns(&pod, &host).servers, ["9.9.9.9"]);
        pod.placement.dns_address = "10.96.0.10".into();
        let cluster = dns(&pod, &host);
        assert_eq!(cluster.searches, ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp"]);
        assert_eq!((cluster.servers, cluster.options), (vec!["10.96.0.10".into()], vec!["ndots:5".into()]));
        let none = desired(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"],
            "options": [{"name": "ndots", "value": "1"}]}}));
        let config = dns(&none, &host);
        assert_eq!((config.servers, config.options), (vec!["1.1.1.1".into()], vec!["ndots:1".into()]));
    }

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = desired(json!({"containers": [], "hostname": "db", "subdomain": "mysql",
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
        let text = hosts_file(&pod, "10.244.0.9");
        assert!(text.contains("10.244.0.9\tdb.mysql.default.svc.cluster.local\tdb\n"));
        assert!(text.ends_with("1.2.3.4\ta\tb\n"));
    }
}
