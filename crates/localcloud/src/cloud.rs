//! One cloud's life: up, down, and what tests do to it in between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use crate::bootstrap::{self, Tenant};
use crate::config::Options;
use crate::fabric::{Fabric, MAX_HOSTS};
use crate::layout::Layout;
use crate::services::{Service, Site};
use crate::{clients, database, environment, hosts, packages, pki, process, registry};

/// A cloud in its state directory. Dropping it stops nothing: [`Cloud::down`] does.
#[derive(Debug)]
pub struct Cloud {
    options: Options,
    layout: Layout,
    fabric: Fabric,
    services: Vec<Service>,
}

impl Cloud {
    /// Starts what does not run, and waits until all of it is ready. Repeatable: a dead part is started again,
    /// a part whose program or configuration has changed is started anew.
    ///
    /// # Errors
    /// If something is missing or does not become ready: says what, and what to do. What runs by then stays.
    pub fn up(options: Options) -> anyhow::Result<Self> {
        ensure!((1..=MAX_HOSTS).contains(&options.hosts), "a cloud has 1 to {MAX_HOSTS} hosts");
        packages::install(&|text| options.say(text))?;
        packages::check_capabilities()?;
        ensure!(
            options.binaries.join("hako-logs").exists(),
            "no programs in {}: cargo build --workspace --bins",
            options.binaries.display()
        );
        let layout = Layout::new(&options.state)?;
        layout.make()?;
        let _lock = lock(&layout)?;
        clients::fetch(&options.cache, &|text| options.say(text))?;
        let fabric = Fabric::choose(&layout)?;
        fabric.up(&layout, options.hosts).context("can't make the hosts' network")?;
        pki::authority(&layout, pki::INTERNAL_CA)?;
        pki::authority(&layout, pki::PUBLIC_CA)?;
        pki::random_file(&layout.pki("encryption.key"), 32)?;
        let site = Site { layout: &layout, fabric, options: &options };
        let services = site.services()?;
        let cloud = Self { services, fabric, layout: layout.clone(), options: options.clone() };
        environment::link_commands(site)?;
        environment::write(site)?;
        cloud.start_engines()?;
        cloud.start_services()?;
        Ok(cloud)
    }

    /// The cloud in `options.state` as it is, running or not; starts nothing.
    ///
    /// # Errors
    /// If the state directory can't be read.
    pub fn attach(options: Options) -> anyhow::Result<Self> {
        let layout = Layout::new(&options.state)?;
        layout.make()?;
        let fabric = Fabric::choose(&layout)?;
        pki::authority(&layout, pki::INTERNAL_CA)?;
        pki::authority(&layout, pki::PUBLIC_CA)?;
        let services = Site { layout: &layout, fabric, options: &options }.services()?;
        Ok(Self { services, fabric, layout, options })
    }

    /// PostgreSQL, the registry with its images, and the hosts' containerds.
    fn start_engines(&self) -> anyhow::Result<()> {
        let (layout, fabric, logger) = (&self.layout, self.fabric, self.options.binaries.join("hako-logs"));
        self.tell("PostgreSQL", database::NAME);
        database::up(layout, fabric, &logger)?;
        self.tell("image registry", registry::NAME);
        registry::up(layout, fabric, &logger)?;
        registry::push_images(layout, fabric, &self.options.workspace.join("tests/images"))?;
        for number in 1..=self.options.hosts {
            self.tell(&format!("containerd of host {number}"), &hosts::containerd_name(number));
            hosts::containerd_up(layout, fabric, number, &self.options.binaries, &logger)?;
        }
        Ok(())
    }

    fn start_services(&self) -> anyhow::Result<()> {
        let layout = &self.layout;
        for service in &self.services {
            let changed = service.write_config(layout)?;
            if changed || service.is_outdated(layout) {
                service.stop(layout);
            }
        }
        for service in &self.services {
            self.tell(&service.name, &service.name);
            service.start(layout, &self.options.binaries)?;
            // The others need control's schema and its tenancies; agents only its address.
            if service.name == "control" {
                service.wait_ready(layout)?;
                bootstrap::tenant(self.site(), bootstrap::DEFAULT_TENANCY, bootstrap::DEFAULT_PROFILE)?;
            }
        }
        self.services.iter().try_for_each(|service| service.wait_ready(layout))
    }

    fn tell(&self, what: &str, process: &str) {
        let state = if process::pid(&self.layout, process).is_some() { "runs" } else { "starts" };
        self.options.say(&format!("{what} {state}"));
    }

    fn site(&self) -> Site<'_> {
        Site { layout: &self.layout, fabric: self.fabric, options: &self.options }
    }

    /// Stops everything, pods included, and leaves nothing but the state directory's files.
    ///
    /// # Errors
    /// If another `up` or `down` of this cloud is going on.
    pub fn down(&self) -> anyhow::Result<()> {
        let _lock = lock(&self.layout)?;
        // Agents first: they would start again what is stopped below. Control after what reports to it.
        let mut order: Vec<&Service> = self.services.iter().collect();
        order.sort_by_key(|s| (s.name == "s3", s.name == "billing", s.name == "control", s.name != "api-gateway"));
        let (agents, others): (Vec<&Service>, Vec<&Service>) =
            order.into_iter().partition(|s| s.name.starts_with("node-agent"));
        agents.iter().for_each(|s| s.stop(&self.layout));
        for number in self.hosts_present() {
            process::stop(&self.layout, &format!("node-agent-{number}"), Signal::SIGTERM, Duration::from_secs(15));
            hosts::down(&self.layout, number);
        }
        others.iter().for_each(|s| s.stop(&self.layout));
        registry::down(&self.layout);
        database::down(&self.layout);
        self.clean();
        Ok(())
    }

    /// Hosts of this cloud that have left something, whatever number of them is asked for now.
    fn hosts_present(&self) -> Vec<u8> {
        (1..=MAX_HOSTS).filter(|n| *n <= self.options.hosts || self.layout.host_run(*n).exists()).collect()
    }

    /// Mounts, cgroups, namespaces, the bridge and the run directory.
    fn clean(&self) {
        hosts::unmount_below(&self.layout.run);
        hosts::unmount_below(&self.layout.state);
        hosts::remove_cgroup(&self.layout.cgroup_root());
        Fabric::down(&self.layout);
        let _ = std::fs::remove_dir_all(&self.layout.run);
        let _ = std::fs::remove_file(self.layout.state.join("run"));
    }

    /// As [`Self::down`], and forgets all state. The clients' cache stays.
    ///
    /// # Errors
    /// If something can't be stopped or removed.
    pub fn purge(&self) -> anyhow::Result<()> {
        self.down()?;
        let _ = std::fs::remove_dir_all(database::outside(&self.layout));
        let cache = self.options.cache.canonicalize().ok();
        for entry in std::fs::read_dir(&self.layout.state)?.flatten() {
            let path = entry.path();
            if cache.as_deref().is_some_and(|cache| cache.starts_with(&path)) {
                continue;
            }
            let is_directory = entry.file_type()?.is_dir();
            let removed = if is_directory { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.with_context(|| format!("can't remove {}", path.display()))?;
        }
        // Stays if the cache is in it.
        let _ = std::fs::remove_dir(&self.layout.state);
        Ok(())
    }

    /// Process id of a part: `control`, `billing`, `api-gateway`, `virtual-kubelet`, `node-agent-1`,
    /// `containerd-1`, `postgres`, `registry`, `s3`. None if it does not run.
    pub fn pid(&self, name: &str) -> Option<u32> {
        process::pid(&self.layout, name)
    }

    /// Kills a part with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill9(&self, name: &str) -> anyhow::Result<()> {
        ensure!(process::signal(&self.layout, name, Signal::SIGKILL), "{name} does not run");
        ensure!(process::wait_gone(&self.layout, name, Duration::from_secs(5)), "{name} does not end");
        Ok(())
    }

    /// Stops one of our services with SIGTERM, as an update would.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn stop(&self, name: &str) -> anyhow::Result<()> {
        self.service(name)?.stop(&self.layout);
        Ok(())
    }

    /// Starts a part that has ended, without waiting for it to be ready.
    ///
    /// # Errors
    /// If there is no such part, or it can't be started.
    pub fn start(&self, name: &str) -> anyhow::Result<()> {
        let logger = self.options.binaries.join("hako-logs");
        if name == database::NAME {
            return database::up(&self.layout, self.fabric, &logger);
        }
        if let Some(number) = name.strip_prefix("containerd-").and_then(|n| n.parse().ok()) {
            return hosts::containerd_up(&self.layout, self.fabric, number, &self.options.binaries, &logger);
        }
        self.service(name)?.start(&self.layout, &self.options.binaries)
    }

    /// Waits until a service answers that it is ready; returns how long that took.
    ///
    /// # Errors
    /// If it does not within a minute and a half.
    pub fn wait_ready(&self, name: &str) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.service(name)?.wait_ready(&self.layout)?;
        Ok(begin.elapsed())
    }

    fn service(&self, name: &str) -> anyhow::Result<&Service> {
        self.services.iter().find(|s| s.name == name).with_context(|| format!("there is no service {name}"))
    }

    /// Names of the parts that should run and don't, or aren't ready, with the reason.
    pub fn unhealthy(&self) -> Vec<(String, String)> {
        let engines = [database::NAME.to_owned(), registry::NAME.to_owned()];
        let hosts = (1..=self.options.hosts).map(hosts::containerd_name);
        let dead = engines.into_iter().chain(hosts).filter(|name| self.pid(name).is_none());
        let mut sick: Vec<(String, String)> = dead.map(|name| (name, "does not run".to_owned())).collect();
        sick.extend(self.services.iter().filter_map(|s| Some((s.name.clone(), s.ready().err()?))));
        sick
    }

    /// Cuts host `number` off from the services and the other hosts; its pods go on.
    ///
    /// # Errors
    /// If there is no such host.
    pub fn partition_host(&self, number: u8) -> anyhow::Result<()> {
        hosts::connect(&self.layout, number, false)
    }

    /// Ends what [`Self::partition_host`] did.
    ///
    /// # Errors
    /// If there is no such host.
    pub fn heal_host(&self, number: u8) -> anyhow::Result<()> {
        hosts::connect(&self.layout, number, true)
    }

    /// The variables of `env.sh`: `PATH`, `KUBECONFIG`, `HAKO_*`, and those of OCI's clients.
    pub fn env(&self) -> BTreeMap<String, String> {
        environment::variables(self.site())
    }

    /// Makes another tenancy with an administrator, and the profile `name` for the CLI; what exists stays.
    ///
    /// # Errors
    /// If control's database can't be reached, or the name is not allowed.
    pub fn bootstrap_tenant(&self, name: &str) -> anyhow::Result<Tenant> {
        bootstrap::tenant(self.site(), name, name)
    }

    /// The tenancy that `up` made.
    ///
    /// # Errors
    /// If control's database can't be reached.
    pub fn default_tenant(&self) -> anyhow::Result<Tenant> {
        bootstrap::tenant(self.site(), bootstrap::DEFAULT_TENANCY, bootstrap::DEFAULT_PROFILE)
    }

    /// kubectl of Kubernetes 1.`minor`, one of [`clients::VERSIONS`].
    pub fn kubectl(&self, minor: u32) -> PathBuf {
        clients::directory(&self.options.cache, minor).join("kubectl")
    }

    /// Python of the virtual environment with OCI's SDK, if that was fetched.
    pub fn oci_python(&self) -> PathBuf {
        clients::OCI.directory(&self.options.cache).join("bin/python")
    }

    /// The state directory, canonical.
    pub fn state(&self) -> &Path {
        &self.layout.state
    }

    /// Loopback address on which a service answers `/livez`, `/readyz` and `/metrics`; an agent's only in its host.
    ///
    /// # Errors
    /// If there is no such service.
    pub fn ops_address(&self, name: &str) -> anyhow::Result<std::net::SocketAddr> {
        Ok(self.service(name)?.ops())
    }

    /// The network namespace of host `number`, for `ip netns exec` and `nsenter --net=/run/netns/...`.
    pub fn host_namespace(&self, number: u8) -> String {
        self.layout.namespace(number)
    }

    /// Socket of host `number`'s containerd.
    pub fn containerd_socket(&self, number: u8) -> PathBuf {
        hosts::containerd_socket(&self.layout, number)
    }

    /// URL of the database as `control` or `billing`. Holds a password.
    ///
    /// # Errors
    /// If the password can't be read.
    pub fn database_url(&self, role: &str) -> anyhow::Result<String> {
        database::url(&self.layout, self.fabric, role)
    }
}

/// One `up` or `down` at a time.
fn lock(layout: &Layout) -> anyhow::Result<Flock<std::fs::File>> {
    let file = std::fs::File::create(layout.state.join(".lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err(_) => bail!("another `up` or `down` of {} is going on", layout.state.display()),
    }
}
