//! The cloud's private PostgreSQL server: a cluster of its own, durable, reachable on loopback only.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::User;

use crate::command::{feed, output};
use crate::fabric::Fabric;
use crate::layout::{Layout, POSTGRES_PORT};
use crate::pki;
use crate::process::{self, Spec};

/// Name of the process.
pub(crate) const NAME: &str = "postgres";
/// The services that have a role and a schema.
const ROLES: &[&str] = &["control", "billing"];
const DATABASE: &str = "hako";
/// Time that a start may take: recovery after a crash replays the log.
const START: Duration = Duration::from_secs(60);
/// Starts that are tried.
const ATTEMPTS: u32 = 5;

/// URL by which `role` connects. Holds a password: for files that root alone may read.
pub(crate) fn url(layout: &Layout, fabric: Fabric, role: &str) -> anyhow::Result<String> {
    let password = pki::password(&layout.pki(&format!("postgres-{role}.password")))?;
    Ok(format!("postgres://{role}:{password}@{}:{POSTGRES_PORT}/{DATABASE}", fabric.loopback()))
}

/// Makes the cluster if there is none, starts the server if it does not run, and makes roles and database.
pub(crate) fn up(layout: &Layout, fabric: Fabric, logger: &Path) -> anyhow::Result<()> {
    let binaries = binaries()?;
    let user = User::from_name("postgres")?.context("there is no user postgres: is postgresql-15 installed?")?;
    let owner = (user.uid.as_raw(), user.gid.as_raw());
    let data = directory(layout, owner)?;
    let sockets = layout.run.join("postgres");
    std::fs::create_dir_all(&sockets)?;
    std::os::unix::fs::chown(&sockets, Some(owner.0), Some(owner.1))?;
    if !data.join("PG_VERSION").exists() {
        initialise(&binaries, &data, owner)?;
    }
    let spec = spec(&binaries, &data, &sockets, fabric, owner, logger);
    let answers = || psql(&binaries, &sockets, owner, "postgres", "select 1").is_ok();
    let lives = || process::pid(layout, NAME).is_some();
    // After a kill, the old server's children may hold its memory for a moment: then the first start fails.
    for _ in 0..ATTEMPTS {
        if !lives() {
            // Locks of a server that was killed hold a number that a zombie or a stranger may have now.
            let lock = sockets.join(format!(".s.PGSQL.{POSTGRES_PORT}.lock"));
            for stale in [data.join("postmaster.pid"), lock] {
                let _ = std::fs::remove_file(stale);
            }
            process::start(layout, &spec)?;
        }
        process::wait(START, || answers() || !lives());
        if lives() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    if !answers() {
        bail!("PostgreSQL does not answer; its log ends with\n{}", process::log_tail(layout, NAME));
    }
    provision(layout, &binaries, &sockets, owner)
}

/// Stops the server: SIGINT is its fast shutdown, which waits for no client.
pub(crate) fn down(layout: &Layout) {
    process::stop(layout, NAME, Signal::SIGINT, Duration::from_secs(30));
}

/// Where the data are when the postgres user can't reach the state directory.
pub(crate) fn outside(layout: &Layout) -> PathBuf {
    Path::new("/var/lib/hako").join(&layout.id)
}

fn spec(binaries: &Path, data: &Path, sockets: &Path, fabric: Fabric, owner: (u32, u32), logger: &Path) -> Spec {
    let settings = [
        "fsync=on".to_owned(),
        "synchronous_commit=on".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=2GB".to_owned(),
        "jit=off".to_owned(),
        format!("listen_addresses={}", fabric.loopback()),
        format!("port={POSTGRES_PORT}"),
        format!("unix_socket_directories={}", sockets.display()),
    ];
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    arguments.extend(settings.into_iter().flat_map(|s| ["-c".to_owned(), s]));
    Spec {
        name: NAME.into(),
        program: binaries.join("postgres"),
        arguments,
        environment: Vec::new(),
        namespace: None,
        user: Some(owner),
        logger: logger.to_owned(),
    }
}

fn initialise(binaries: &Path, data: &Path, owner: (u32, u32)) -> anyhow::Result<()> {
    let mut command = as_owner(&binaries.join("initdb"), owner);
    command.args(["--auth-local=peer", "--auth-host=scram-sha-256", "--username=postgres", "--encoding=UTF8"]);
    command.args(["--locale=C", "--data-checksums", "--no-instructions", "--pgdata"]).arg(data);
    output(command).context("can't make a database cluster")?;
    Ok(())
}

/// One role per service, which may make its own schema and see no other's.
fn provision(layout: &Layout, binaries: &Path, sockets: &Path, owner: (u32, u32)) -> anyhow::Result<()> {
    let exists = format!("select count(*) from pg_database where datname = '{DATABASE}'");
    if psql(binaries, sockets, owner, "postgres", &exists)?.trim() == "0" {
        psql(binaries, sockets, owner, "postgres", &format!("create database {DATABASE}"))?;
    }
    let mut statements = format!("revoke all on database {DATABASE} from public;");
    for role in ROLES {
        let password = pki::password(&layout.pki(&format!("postgres-{role}.password")))?;
        ensure!(password.bytes().all(|b| b.is_ascii_hexdigit()), "the password of {role} is damaged");
        statements += &format!(
            "do $$ begin if not exists (select from pg_roles where rolname = '{role}') \
             then create role {role} login; end if; end $$;\n\
             alter role {role} password '{password}';\ngrant connect, create, temporary on database {DATABASE} to {role};\n"
        );
    }
    psql(binaries, sockets, owner, DATABASE, &statements).context("can't make the services' database roles")?;
    Ok(())
}

/// Runs SQL as the superuser. The text goes through standard input: arguments show in `ps`.
fn psql(binaries: &Path, sockets: &Path, owner: (u32, u32), database: &str, sql: &str) -> anyhow::Result<String> {
    let mut command = as_owner(&binaries.join("psql"), owner);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
    command.arg("-h").arg(sockets).args(["-p", &POSTGRES_PORT.to_string()]);
    feed(command, sql.as_bytes())
}

fn as_owner(program: &Path, (uid, gid): (u32, u32)) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups", "--"]);
    command.arg(program).current_dir("/");
    command
}

/// The data directory: in the state directory, or elsewhere with a link there if `postgres` can't get in.
fn directory(layout: &Layout, owner: (u32, u32)) -> anyhow::Result<PathBuf> {
    let link = layout.state.join("postgres");
    let data = if layout.state.ancestors().all(|d| traversable(d, owner)) {
        link
    } else {
        let data = outside(layout).join("postgres");
        std::fs::create_dir_all(&data)?;
        if !link.exists() {
            std::os::unix::fs::symlink(&data, &link)?;
        }
        data
    };
    std::fs::create_dir_all(&data)?;
    std::os::unix::fs::chown(&data, Some(owner.0), Some(owner.1))?;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700))?;
    Ok(data)
}

fn traversable(directory: &Path, (uid, gid): (u32, u32)) -> bool {
    let Ok(metadata) = directory.metadata() else { return false };
    let mode = metadata.mode();
    if metadata.uid() == uid {
        mode & 0o100 != 0
    } else if metadata.gid() == gid {
        mode & 0o010 != 0
    } else {
        mode & 0o001 != 0
    }
}

/// The newest PostgreSQL in Debian's layout.
fn binaries() -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .filter(|(_, path)| path.join("postgres").exists())
        .collect();
    found.sort();
    Ok(found.pop().context("PostgreSQL is not installed: apt-get install postgresql-15")?.1)
}
