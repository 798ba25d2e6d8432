//! Replaces a volume's files in one step, so that a reader sees the old ones or the new ones, never a mixture.
//!
//! Files lie in a directory with a fresh name; the link `..data` names it; each file's top-level name links through
//! `..data`. Source: the kubelet's AtomicWriter, whose layout programs in containers rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

use super::payload::File;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// Makes `root` hold exactly `files`; does nothing if it does already.
pub(super) fn write(root: &Path, files: &BTreeMap<String, File>, fs_group: Option<i64>) -> io::Result<()> {
    let group = fs_group.and_then(|g| u32::try_from(g).ok());
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    if is_current(root, files, group) {
        return Ok(());
    }
    let old = fs::read_link(root.join(DATA)).ok();
    let fresh = format!("..{}", jiff::Timestamp::now().as_nanosecond());
    let dir = root.join(&fresh);
    fs::DirBuilder::new().mode(0o755).create(&dir)?;
    for (path, file) in files {
        let target = dir.join(path);
        if let Some(parent) = target.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mode = wanted_mode(file, group);
        let mut out = fs::File::options().write(true).create_new(true).mode(mode).open(&target)?;
        out.write_all(&file.data)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        if group.is_some() {
            chown(&target, None, group)?;
        }
    }
    let next = root.join(DATA_NEXT);
    let _ = fs::remove_file(&next);
    symlink(&fresh, &next)?;
    fs::rename(&next, root.join(DATA))?;
    link_names(root, files)?;
    if let Some(old) = old {
        let _ = fs::remove_dir_all(root.join(old));
    }
    Ok(())
}

fn wanted_mode(file: &File, group: Option<u32>) -> u32 {
    if group.is_some() { file.mode | 0o440 } else { file.mode }
}

fn top_names(files: &BTreeMap<String, File>) -> BTreeSet<&str> {
    files.keys().filter_map(|path| path.split('/').next()).collect()
}

fn link_names(root: &Path, files: &BTreeMap<String, File>) -> io::Result<()> {
    let names = top_names(files);
    for name in &names {
        let link = root.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(root)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !names.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_current(root: &Path, files: &BTreeMap<String, File>, group: Option<u32>) -> bool {
    let data = root.join(DATA);
    if !data.exists() {
        return false;
    }
    let same = |path: &String, file: &File| {
        let target = data.join(path);
        let meta = fs::metadata(&target).ok();
        meta.is_some_and(|m| m.mode() & 0o777 == wanted_mode(file, group))
            && fs::read(&target).is_ok_and(|bytes| bytes == file.data)
    };
    count_files(&data) == files.len() && files.iter().all(|(path, file)| same(path, file))
}

fn count_files(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|e| if e.path().is_dir() { count_files(&e.path()) } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> BTreeMap<String, File> {
        let file = |t: &str| File { data: t.to_owned().into(), mode: 0o640 };
        all.iter().map(|(p, t)| ((*p).to_owned(), file(t))).collect()
    }

    fn read(root: &Path) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(root).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("..") && entry.path().is_file() {
                all.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
        all.sort();
        all
    }

    #[test]
    fn a_new_payload_replaces_the_old_one_whole() {
        let root = std::env::temp_dir().join(format!("agent-writer-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        write(&root, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_to_string(root.join("d/b")).unwrap(), "2");
        let first = fs::read_link(root.join(DATA)).unwrap();
        write(&root, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_link(root.join(DATA)).unwrap(), first, "the same payload is not written again");
        write(&root, &files(&[("a", "3"), ("c", "4")]), None).unwrap();
        assert_eq!(read(&root), [("a".into(), "3".into()), ("c".into(), "4".into())]);
        assert!(!root.join("d").exists() && !root.join(first).exists());
        fs::remove_dir_all(root).unwrap();
    }
}
