//! CPU time and memory of the cloud's processes, from /proc. Source of the fields: proc(5).

use anyhow::Context;
use localcloud::Cloud;
use std::{fmt, ops::Sub, path::Path, time::Duration};

/// Length of a clock tick in /proc. Source: `USER_HZ` is 100 on every architecture that we run on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time that the servers of a request have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    gateway: Duration,
    control: Duration,
    postgres: Duration,
}

impl Cpu {
    /// What has been used so far.
    pub(crate) fn now(cloud: &Cloud) -> anyhow::Result<Self> {
        let pid = |name: &str| cloud.pid(name).with_context(|| format!("{name} does not run"));
        Ok(Self {
            gateway: used(pid("api-gateway")?, false),
            control: used(pid("control")?, false),
            postgres: tree(pid("postgres")?),
        })
    }

    /// All of it, per one of `count` operations, in milliseconds.
    pub(crate) fn each_ms(self, count: usize) -> f64 {
        (self.gateway + self.control + self.postgres).as_secs_f64() * 1000.0 / count.max(1) as f64
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            gateway: self.gateway.saturating_sub(earlier.gateway),
            control: self.control.saturating_sub(earlier.control),
            postgres: self.postgres.saturating_sub(earlier.postgres),
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [gateway, control, postgres] = [self.gateway, self.control, self.postgres].map(|part| part.as_secs_f64());
        write!(f, "gateway {gateway:.2} s, control {control:.2} s, PostgreSQL {postgres:.2} s")
    }
}

/// The fields of /proc/PID/stat after the name: the first is field 3, the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// User and system time of a process, and of its children that have ended.
fn used(pid: u32, with_ended: bool) -> Duration {
    let Some(fields) = stat(pid) else { return Duration::ZERO };
    let last = if with_ended { 16 } else { 14 };
    let ticks: u32 = (13..=last).filter_map(|field| fields.get(field - 2)?.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// PostgreSQL: the postmaster, its children, and those that have ended.
fn tree(parent: u32) -> Duration {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&parent.to_string())));
    used(parent, true) + children.map(|pid| used(pid, false)).sum::<Duration>()
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process without memory")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

/// Processors, memory and load of this machine, for people.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, m)| m);
    let memory = read("/proc/meminfo");
    let total = memory.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cpus} CPUs ({model}), {} GiB, load {load}", total.unwrap_or(0u64) >> 20)
}
