//! Our own services: their configuration files, and how they are started and asked whether they are ready.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use toml::{Table, Value, toml};

use crate::config::Options;
use crate::database;
use crate::fabric::Fabric;
use crate::hosts;
use crate::http;
use crate::layout::{
    BILLING_GRPC_PORT, BILLING_PORT, CLUSTER_DOMAIN, CONTROL_GRPC_PORT, CONTROL_PORT, GATEWAY_PORT, KUBELET_PORT,
    Layout, S3_PORT,
};
use crate::pki::{self, Files};
use crate::process::{self, Spec};
use crate::registry;

/// Time that a service gets to become ready, on a machine that may be compiling.
const READY: Duration = Duration::from_secs(90);
/// Time that a service gets to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

/// One service as this cloud runs it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: String,
    binary: &'static str,
    namespace: Option<String>,
    ops: SocketAddr,
    config: Table,
}

/// What a cloud's services are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) fabric: Fabric,
    pub(crate) options: &'a Options,
}

impl Site<'_> {
    /// All services, in the order in which they start. Makes missing certificates and keys.
    pub(crate) fn services(self) -> anyhow::Result<Vec<Service>> {
        let mut services = vec![self.s3()?, self.control()?, self.billing()?, self.gateway()?, self.kubelet()?];
        for number in 1..=self.options.hosts {
            services.push(self.agent(number)?);
        }
        for (name, settings) in &self.options.overrides {
            for service in services.iter_mut().filter(|s| s.name == *name) {
                merge(&mut service.config, settings);
            }
        }
        Ok(services)
    }

    fn s3(self) -> anyhow::Result<Service> {
        let secret = self.layout.pki("s3.secret");
        pki::password(&secret)?;
        let config = toml! {
            access_key = "hako"
            buckets = ["exports"]
        };
        let mut service = self.service("s3", "hako-s3", 9101, config);
        service.set("listen", self.s3_address().to_string());
        service.set("directory", self.layout.state.join("s3").display().to_string());
        service.set("secret_key_file", secret.display().to_string());
        Ok(service)
    }

    fn control(self) -> anyhow::Result<Service> {
        let mut service = self.service("control", "hako-control", 9102, Table::new());
        service.set("listen", self.on_bridge(CONTROL_PORT));
        service.set("grpc_listen", self.on_bridge(CONTROL_GRPC_PORT));
        service.set("database_url", database::url(self.layout, self.fabric, "control")?);
        service.set("secret_file", text(&self.layout.pki("encryption.key")));
        service.set("public_url", self.endpoint());
        service.set("public_ca", text(&pki::files(self.layout, pki::PUBLIC_CA).certificate));
        service.set("api_backend", self.on_bridge(GATEWAY_PORT));
        service.set("cluster_domain", CLUSTER_DOMAIN);
        service.set("billing_endpoint", format!("https://{}", self.on_bridge(BILLING_GRPC_PORT)));
        service.set("identity", self.identity("control")?);
        Ok(service)
    }

    fn billing(self) -> anyhow::Result<Service> {
        let mut service = self.service("billing", "hako-billing", 9103, Table::new());
        service.set("listen", self.on_bridge(BILLING_PORT));
        service.set("grpc_listen", self.on_bridge(BILLING_GRPC_PORT));
        service.set("database_url", database::url(self.layout, self.fabric, "billing")?);
        service.set("identity", self.identity("billing")?);
        Ok(service)
    }

    fn gateway(self) -> anyhow::Result<Service> {
        let public = self.public_certificate()?;
        let mut service = self.service("api-gateway", "hako-api-gateway", 9104, Table::new());
        service.set("listen", self.on_bridge(GATEWAY_PORT));
        service.set("certificate", public.certificate.display().to_string());
        service.set("key", public.key.display().to_string());
        service.set("control", format!("https://{}", self.on_bridge(CONTROL_PORT)));
        service.set("billing", format!("https://{}", self.on_bridge(BILLING_PORT)));
        service.set("cluster_domain", CLUSTER_DOMAIN);
        service.set("identity", self.identity("api-gateway")?);
        Ok(service)
    }

    fn kubelet(self) -> anyhow::Result<Service> {
        let mut service = self.service("virtual-kubelet", "hako-virtual-kubelet", 9105, Table::new());
        service.set("listen", self.on_bridge(KUBELET_PORT));
        service.set("control_endpoint", format!("https://{}", self.on_bridge(CONTROL_PORT)));
        service.set("fleet_endpoint", format!("https://{}", self.on_bridge(CONTROL_GRPC_PORT)));
        service.set("identity", self.identity("virtual-kubelet")?);
        Ok(service)
    }

    fn agent(self, number: u8) -> anyhow::Result<Service> {
        let (layout, id) = (self.layout, format!("host-{number}"));
        let address = self.fabric.host_address(number);
        let names = [id.clone(), address.to_string(), "localhost".into(), "127.0.0.1".into()];
        let identity = pki::issue(layout, pki::INTERNAL_CA, &format!("host:{id}"), &names)?;
        let state = layout.host(number).join("agent");
        std::fs::create_dir_all(&state)?;
        // Two hosts on one small machine: each offers more than there is, so that a demonstration fits.
        let mut config = toml! {
            runtimes = ["runc"]
            [capacity]
            cpu_milli = 32000
            pods = 500
        };
        if let Some(Value::Table(capacity)) = config.get_mut("capacity") {
            capacity.insert("memory_bytes".into(), (128i64 << 30).into());
        }
        config.insert("labels".into(), Value::Table(labels(number)));
        config.insert("images".into(), Value::Table(self.kept_images()));
        let mut network = Table::new();
        network.insert("cni_socket".into(), text(&hosts::cni_socket(layout, number)));
        network.insert("underlay_address".into(), Value::String(address.to_string()));
        network.insert("state_dir".into(), text(&layout.host_run(number).join("network")));
        config.insert("network".into(), Value::Table(network));
        let mut service = self.service(&format!("node-agent-{number}"), "hako-node-agent", 9110, config);
        service.ops = (Ipv4Addr::LOCALHOST, 9110).into();
        service.set("ops_listen", service.ops.to_string());
        service.namespace = Some(layout.namespace(number));
        service.set("host_id", id);
        service.set("control_endpoint", format!("https://{}", self.on_bridge(CONTROL_GRPC_PORT)));
        service.set("billing_endpoint", format!("https://{}", self.on_bridge(BILLING_GRPC_PORT)));
        service.set("containerd_socket", text(&hosts::containerd_socket(layout, number)));
        service.set("state_dir", text(&state));
        service.set("cgroup_root", layout.cgroup(number));
        service.set("identity", self.identity_table(&identity));
        Ok(service)
    }

    /// The registry's pause image must not be removed: each new sandbox needs it.
    fn kept_images(self) -> Table {
        let pause = format!("{}/pause:1", registry::address(self.fabric));
        let mut images = Table::new();
        images.insert("keep".into(), Value::Array(vec![Value::String(pause)]));
        images
    }

    fn service(self, name: &str, binary: &'static str, ops_port: u16, config: Table) -> Service {
        let ops = SocketAddr::from((self.fabric.loopback(), ops_port));
        let mut service = Service { name: name.to_owned(), binary, namespace: None, ops, config };
        service.set("ops_listen", ops.to_string());
        service
    }

    fn on_bridge(self, port: u16) -> String {
        SocketAddr::from((self.fabric.bridge_address(), port)).to_string()
    }

    /// Where S3 is.
    pub(crate) fn s3_address(self) -> SocketAddr {
        (self.fabric.loopback(), S3_PORT).into()
    }

    /// The gateway's public URL.
    pub(crate) fn endpoint(self) -> String {
        format!("https://{}", self.on_bridge(GATEWAY_PORT))
    }

    /// The certificate of `name`, as the `identity` table of a configuration.
    fn identity(self, name: &str) -> anyhow::Result<Value> {
        let addresses = [self.fabric.bridge_address(), self.fabric.loopback(), Ipv4Addr::LOCALHOST];
        let mut names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        names.extend([name.to_owned(), "localhost".into()]);
        let files = pki::issue(self.layout, pki::INTERNAL_CA, name, &names)?;
        Ok(self.identity_table(&files))
    }

    fn identity_table(self, own: &Files) -> Value {
        let ca = pki::files(self.layout, pki::INTERNAL_CA).certificate;
        let mut table = Table::new();
        table.insert("ca".into(), text(&ca));
        table.insert("certificate".into(), text(&own.certificate));
        table.insert("key".into(), text(&own.key));
        Value::Table(table)
    }

    /// The gateway's certificate for the outside: also for pods, which know it as `kubernetes.default`.
    fn public_certificate(self) -> anyhow::Result<Files> {
        let bridge = self.fabric.bridge_address().to_string();
        let names = [
            "localhost",
            "127.0.0.1",
            &bridge,
            "10.96.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "api-gateway",
            &format!("*.{CLUSTER_DOMAIN}"),
        ];
        pki::issue(self.layout, pki::PUBLIC_CA, "gateway-public", &names.map(str::to_owned))
    }
}

fn labels(number: u8) -> Table {
    let mut labels = Table::new();
    labels.insert("hako.dev/availability-domain".into(), "local-1-AD-1".into());
    labels.insert("hako.dev/fault-domain".into(), format!("FAULT-DOMAIN-{}", (number - 1) % 3 + 1).into());
    if cfg!(target_arch = "aarch64") {
        // The default shape is x86's: on an Arm machine the hosts of a demonstration offer it too.
        let all = "Standard.E4.Flex,Standard.E3.Flex,Standard3.Flex,Standard.A1.Flex";
        labels.insert("hako.dev/shapes".into(), all.into());
    }
    labels
}

fn text(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

fn merge(into: &mut Table, from: &Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

impl Service {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.config.insert(key.into(), value.into());
    }

    /// Writes the configuration file; says whether it changed.
    pub(crate) fn write_config(&self, layout: &Layout) -> anyhow::Result<bool> {
        let path = layout.config(&self.name);
        let text = format!("# Written by localcloud at every `up`.\n{}", toml::to_string(&self.config)?);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        Layout::write_secret(&path, text.as_bytes())?;
        Ok(true)
    }

    /// Starts the service unless it runs from the present program.
    pub(crate) fn start(&self, layout: &Layout, binaries: &Path) -> anyhow::Result<()> {
        if process::pid(layout, &self.name).is_some() {
            return Ok(());
        }
        let spec = Spec {
            name: self.name.clone(),
            program: binaries.join(self.binary),
            arguments: vec!["--config".into(), layout.config(&self.name).display().to_string()],
            environment: Vec::new(),
            namespace: self.namespace.clone(),
            user: None,
            logger: binaries.join("hako-logs"),
        };
        process::start(layout, &spec)?;
        Ok(())
    }

    /// Whether the running process is of a program that has been built anew since.
    pub(crate) fn is_outdated(&self, layout: &Layout) -> bool {
        let Some(pid) = process::pid(layout, &self.name) else { return false };
        let program: PathBuf = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        program.to_string_lossy().ends_with(" (deleted)")
    }

    /// Waits until the service says that it is ready.
    pub(crate) fn wait_ready(&self, layout: &Layout) -> anyhow::Result<()> {
        let mut last = Err("it was not asked".to_owned());
        process::wait(READY, || {
            last = self.ready();
            last.is_ok() || process::pid(layout, &self.name).is_none()
        });
        if let Err(reason) = last {
            let lives = process::pid(layout, &self.name).is_some();
            let state = if lives { "is not ready" } else { "has ended" };
            bail!("{} {state}: {reason}; its log ends with\n{}", self.name, process::log_tail(layout, &self.name));
        }
        Ok(())
    }

    /// Asks once.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match &self.namespace {
            Some(namespace) => http::ready_in(namespace, self.ops),
            None => http::ready(self.ops),
        }
    }

    /// Where it answers `/readyz`.
    pub(crate) fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Ends it with SIGTERM, or SIGKILL if that does not help.
    pub(crate) fn stop(&self, layout: &Layout) {
        process::stop(layout, &self.name, nix::sys::signal::Signal::SIGTERM, GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_reach_into_tables() {
        let mut config = toml! { a = 1
        [t]
        x = 1
        y = 2 };
        merge(
            &mut config,
            &toml! { [t]
            y = 3 },
        );
        assert_eq!(config["t"]["x"].as_integer(), Some(1));
        assert_eq!(config["t"]["y"].as_integer(), Some(3));
    }
}
