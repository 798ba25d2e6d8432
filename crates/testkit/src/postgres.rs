//! One private PostgreSQL server per test process: made on first use, gone with the process.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getpid, getuid};
use sqlx::Connection;
use tokio::sync::OnceCell;

/// Where the servers' directories are made; their names carry the owning process's id.
const PARENT: &str = "/tmp";
const PREFIX: &str = "hako-testkit-pg-";
/// Time within which a fresh server must answer, on a machine that also compiles.
const START: Duration = Duration::from_secs(60);

/// The test process's PostgreSQL server. It keeps nothing through a crash (`fsync=off`).
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    port: u16,
    server: u32,
    databases: AtomicU32,
}

static SERVER: OnceCell<Postgres> = OnceCell::const_new();

impl Postgres {
    /// The process's server, started at the first call. It ends when the process does, however it ends.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start: no test can go on then.
    pub async fn start() -> &'static Postgres {
        SERVER.get_or_init(|| async { Self::launch().await.expect("a PostgreSQL server for tests must start") }).await
    }

    /// Makes an empty database whose name begins with `name`, and returns its URL.
    ///
    /// # Panics
    /// If the server refuses, which a test can't survive.
    pub async fn database(&self, name: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        let database = format!("{name}_{number}");
        let mut admin = self.admin().await.expect("the test server answers");
        let create = sqlx::AssertSqlSafe(format!("create database \"{database}\" template template0"));
        sqlx::query(create).execute(&mut admin).await.expect("a database can be created");
        self.url(&database)
    }

    /// Directory of the server's Unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Process id of the server, for tests that stop or kill it.
    pub fn server_pid(&self) -> u32 {
        self.server
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    async fn admin(&self) -> Result<sqlx::PgConnection, sqlx::Error> {
        let options: sqlx::postgres::PgConnectOptions = self.url("postgres").parse()?;
        sqlx::PgConnection::connect_with(&options).await
    }

    async fn launch() -> anyhow::Result<Self> {
        remove_stale();
        let binaries = binaries()?;
        let directory = PathBuf::from(format!("{PARENT}/{PREFIX}{}", getpid()));
        std::fs::create_dir_all(&directory)?;
        let owner = owner()?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid))?;
        }
        let data = directory.join("data");
        let template = template(&binaries, owner)?;
        let copy = as_owner(Path::new("cp"), owner).arg("-a").arg(&template).arg(&data).output()?;
        ensure!(copy.status.success(), "can't copy {template:?}: {}", String::from_utf8_lossy(&copy.stderr));
        // The port is free now, but another process may take it before the server does: then once more.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let server = spawn(&binaries, &data, &directory, port, owner)?;
            let postgres = Self { directory: directory.clone(), port, server, databases: AtomicU32::new(0) };
            if postgres.answers().await {
                return Ok(postgres);
            }
        }
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        bail!("the server did not start: {log}")
    }

    async fn answers(&self) -> bool {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline && alive(self.server) {
            if let Ok(connection) = self.admin().await {
                drop(connection);
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// A data directory as initdb makes it, kept for the next test process: copying takes a tenth of the time.
fn template(binaries: &Path, owner: Option<(u32, u32)>) -> anyhow::Result<PathBuf> {
    let made = std::fs::metadata(binaries.join("initdb"))?.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let template = PathBuf::from(format!("{PARENT}/hako-testkit-template-{}-{made}", getuid()));
    if template.join("PG_VERSION").exists() {
        return Ok(template);
    }
    let fresh = PathBuf::from(format!("{PARENT}/{PREFIX}{}/fresh", getpid()));
    let initdb = as_owner(&binaries.join("initdb"), owner)
        .args([
            "--auth=trust",
            "--no-sync",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ])
        .arg("--pgdata")
        .arg(&fresh)
        .output()?;
    ensure!(initdb.status.success(), "initdb failed: {}", String::from_utf8_lossy(&initdb.stderr));
    match std::fs::rename(&fresh, &template) {
        Ok(()) => Ok(template),
        // Another process was first.
        Err(_) if template.join("PG_VERSION").exists() => Ok(template),
        Err(error) => Err(error).with_context(|| format!("can't make {}", template.display())),
    }
}

fn spawn(binaries: &Path, data: &Path, directory: &Path, port: u16, owner: Option<(u32, u32)>) -> anyhow::Result<u32> {
    let log = std::fs::File::create(directory.join("log"))?;
    let mut server = as_owner(&binaries.join("postgres"), owner);
    server.arg("-D").arg(data);
    let socket = format!("unix_socket_directories={}", directory.display());
    for setting in [
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "listen_addresses=127.0.0.1",
        "max_connections=200",
        "shared_buffers=64MB",
        "autovacuum=off",
        "max_wal_senders=0",
        "wal_level=minimal",
        &socket,
        &format!("port={port}"),
    ] {
        server.arg("-c").arg(setting);
    }
    server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // The death signal fires when the *thread* that forked ends, and a test's thread ends with the test:
    // so a thread of its own starts the server, and waits for it as long as both live.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || match server.spawn() {
        Ok(mut child) => {
            let _ = tell.send(Ok(child.id()));
            let _ = child.wait();
        }
        Err(error) => drop(tell.send(Err(error))),
    });
    Ok(told.recv().context("the server's thread ended")??)
}

/// A command that runs as `owner` and dies with this process.
fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    // `--pdeathsig` is set after the change of user, which would clear it.
    command.args(["--pdeathsig", "TERM"]);
    if let Some((uid, gid)) = owner {
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir("/").process_group(0);
    command
}

/// Removes what test processes that are gone left behind.
fn remove_stale() {
    let Ok(entries) = std::fs::read_dir(PARENT) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        if !alive(pid) || pid == std::process::id() {
            // Two processes may clean up at once; the second finds nothing, which is as good.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None::<Signal>).is_ok())
        && std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

/// The newest PostgreSQL in Debian's layout, or the directory of an `initdb` in `PATH`.
fn binaries() -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, path)) = found.pop() {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|p| p.join("initdb").exists())
        .context("PostgreSQL is not installed: apt-get install postgresql-15, or cargo xtask test, which does it")
}

/// Whom the server runs as: `postgres` if we are root (it refuses root), else ourselves.
fn owner() -> anyhow::Result<Option<(u32, u32)>> {
    if !getuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?.context("there is no user postgres: is postgresql-15 installed?")?;
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn databases_are_separate() {
        let server = Postgres::start().await;
        let first = server.database("first").await;
        let second = server.database("first").await;
        assert_ne!(first, second);
        let mut connection = sqlx::PgConnection::connect(&first).await.unwrap();
        sqlx::query("create table t (a int)").execute(&mut connection).await.unwrap();
        let mut other = sqlx::PgConnection::connect(&second).await.unwrap();
        assert!(sqlx::query("select a from t").execute(&mut other).await.is_err());
    }
}
