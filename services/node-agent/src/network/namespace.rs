//! Network namespaces: a handle on one, work done inside one, and named ones that outlive the agent.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, setns, unshare};

/// A handle on a network namespace; keeps it alive.
#[derive(Debug, Clone)]
pub struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// Opens the namespace behind a path such as `/proc/self/ns/net` or `/run/netns/x`.
    ///
    /// # Errors
    /// If there is nothing, or something else than a namespace (the mount was lost).
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let kind = nix::sys::statfs::fstatfs(&file)?.filesystem_type();
        if kind != nix::sys::statfs::NSFS_MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a namespace"));
        }
        Ok(Self { file: Arc::new(file) })
    }

    /// The handle itself, for netlink's "move there".
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` on a thread of its own inside the namespace; child processes it starts are inside too.
    /// The runtime of the caller is entered there, so sockets made in `work` belong to it.
    ///
    /// # Errors
    /// If the thread can't be made or may not enter the namespace; else what `work` gives.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let file = self.file.clone();
        on_thread(move || {
            setns(&*file, CloneFlags::CLONE_NEWNET)?;
            work()
        })
        .await
    }

    /// Makes a new namespace that stays under `path` until [`remove`], whether or not any process is in it.
    ///
    /// # Errors
    /// Without the capability to make or mount it.
    pub(crate) async fn create(path: &Path) -> anyhow::Result<Self> {
        File::create(path).with_context(|| format!("can't create {}", path.display()))?;
        let target = path.to_owned();
        on_thread(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = "/proc/thread-self/ns/net";
            Ok(nix::mount::mount(Some(own), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
        })
        .await
        .with_context(|| format!("can't make a network namespace at {}", path.display()))?;
        Self::open(path).with_context(|| format!("can't open the namespace just made at {}", path.display()))
    }
}

/// Takes away the name of a namespace made with [`Namespace::create`]; it ends when nothing else holds it.
/// Safe to repeat.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    // EINVAL: it is no mount point (any more).
    match nix::mount::umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Namespaces belong to threads, so whatever enters one gets a thread that ends with the work.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("netns".into()).spawn(move || {
        let _entered = runtime.enter();
        // An error: the caller has stopped waiting.
        let _ = sender.send(work());
    })?;
    receiver.await.map_err(|_| io::Error::other("work in a network namespace panicked"))?
}
