//! `subPath`: a part of a volume, found without leaving the volume.
//!
//! Containers write into their volumes while others start, so a path may turn into a link to the host's root at any
//! moment. The kernel walks it (`openat2` with RESOLVE_BENEATH), and what it found is bound by its descriptor.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};

use crate::paths::Paths;

/// Where a container's `index`th volume mount is bound.
pub fn point(paths: &Paths, uid: &str, container: &str, index: usize) -> PathBuf {
    paths.pod(uid).join("memory").join(format!("sub_{container}_{index}"))
}

/// Binds `sub` below `root` to `point` and gives the path to mount; makes missing directories if `create`.
///
/// # Errors
/// If the path leaves the volume or does not exist.
pub fn bind(root: &Path, sub: &Path, point: &Path, create: bool) -> io::Result<PathBuf> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let base = open(root, flags, Mode::empty())?;
    if create {
        make_directories(&base, sub)?;
    }
    let found = beneath(&base, sub, OFlag::O_PATH)?;
    let is_dir = fs::metadata(format!("/proc/self/fd/{}", found.as_raw_fd()))?.is_dir();
    while super::volume::is_mount_point(point)? {
        umount2(point, MntFlags::MNT_DETACH)?;
    }
    if is_dir {
        let _ = fs::remove_file(point);
        fs::create_dir_all(point)?;
    } else {
        if let Some(parent) = point.parent() {
            fs::create_dir_all(parent)?;
        }
        let _ = fs::remove_dir(point);
        fs::File::create(point)?;
    }
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    mount(Some(source.as_str()), point, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(point.to_owned())
}

fn beneath(base: &OwnedFd, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_BENEATH);
    Ok(openat2(base, path, how)?)
}

fn make_directories(base: &OwnedFd, sub: &Path) -> io::Result<()> {
    let mut done = PathBuf::new();
    for part in sub.components() {
        let parent = if done.as_os_str().is_empty() {
            beneath(base, Path::new("."), OFlag::O_PATH)?
        } else {
            beneath(base, &done, OFlag::O_PATH)?
        };
        match mkdirat(&parent, Path::new(part.as_os_str()), Mode::from_bits_truncate(0o777)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => done.push(part),
            Err(nix::errno::Errno::ENOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_volume_is_refused() {
        let dir = std::env::temp_dir().join(format!("agent-subpath-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("v")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("v/out")).unwrap();
        assert!(bind(&dir.join("v"), Path::new("out"), &dir.join("p"), true).is_err());
        assert!(bind(&dir.join("v"), Path::new("../v"), &dir.join("p"), true).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
