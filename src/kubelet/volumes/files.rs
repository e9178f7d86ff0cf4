//! Files that change all at once: upstream's `AtomicWriter`.
//!
//! The files stand in a directory of their own, `..2026_01_31_12_00_00.<number>`; `..data` points there, and what the
//! pod sees (`key`) points to `..data/key`. New content is written beside the old one and `..data` turned over by rename.

use super::{Ownership, VolumeError, disk, make_dir, set_mode};
use crate::kubelet::spec::volumes::File;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";
/// Both as upstream's.
const VOLUME_MODE: u32 = 0o777;
const CONTENT_MODE: u32 = 0o755;

/// Brings `dir` up to date; true where something changed.
pub fn write(
    files: &BTreeMap<String, File>,
    dir: &Path,
    ownership: &Ownership,
) -> Result<bool, VolumeError> {
    if !dir.is_dir() {
        make_dir(dir, VOLUME_MODE)?;
    }
    let old = fs::read_link(dir.join(DATA)).ok();
    remove_leftovers(dir, old.as_deref())?;
    let old_names = match &old {
        Some(old) => top_names(&dir.join(old)),
        None => BTreeSet::new(),
    };
    let new_names: BTreeSet<String> = files
        .keys()
        .filter_map(|path| path.split('/').next().map(str::to_string))
        .collect();
    let same = old.as_ref().is_some_and(|old| holds(&dir.join(old), files));
    if !same {
        let name = content_name();
        let content = dir.join(&name);
        make_dir(&content, CONTENT_MODE)?;
        for (path, file) in files {
            write_one(&content, path, file)?;
        }
        ownership.give(&content, true)?;
        let next = dir.join(DATA_NEXT);
        let _ = fs::remove_file(&next);
        symlink(&name, &next).map_err(disk("link", &next))?;
        fs::rename(&next, dir.join(DATA)).map_err(disk("rename to", &dir.join(DATA)))?;
    }
    for name in &new_names {
        let link = dir.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link).map_err(disk("link", &link))?;
        }
    }
    if !same {
        for name in old_names.difference(&new_names) {
            let _ = fs::remove_file(dir.join(name));
        }
        if let Some(old) = old {
            let old = dir.join(old);
            fs::remove_dir_all(&old).map_err(disk("remove", &old))?;
        }
    }
    Ok(!same)
}

fn content_name() -> String {
    let now = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S");
    format!("..{now}.{}", rand::random::<u32>())
}

fn write_one(content: &Path, path: &str, file: &File) -> Result<(), VolumeError> {
    let target = content.join(path);
    if let Some(parent) = target.parent().filter(|parent| *parent != content) {
        fs::create_dir_all(parent).map_err(disk("create", parent))?;
        let mut at = content.to_path_buf();
        for part in parent
            .strip_prefix(content)
            .into_iter()
            .flat_map(Path::components)
        {
            at.push(part);
            set_mode(&at, CONTENT_MODE)?;
        }
    }
    fs::write(&target, &file.bytes).map_err(disk("write", &target))?;
    if let Some(user) = file.user {
        chown(&target, Some(user), None).map_err(disk("change the owner of", &target))?;
    }
    set_mode(&target, file.mode)
}

/// Whether a content directory holds exactly these files.
fn holds(content: &Path, files: &BTreeMap<String, File>) -> bool {
    let mut present = Vec::new();
    list_files(content, content, &mut present);
    present.len() == files.len()
        && files.iter().all(|(path, file)| {
            let path = content.join(path);
            fs::metadata(&path).is_ok_and(|found| {
                found.len() == file.bytes.len() as u64
                    && file.user.is_none_or(|user| user == found.uid())
            }) && fs::read(&path).is_ok_and(|bytes| bytes == file.bytes)
        })
}

fn list_files(root: &Path, at: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list_files(root, &path, found);
        } else if let Ok(below) = path.strip_prefix(root) {
            found.push(below.to_path_buf());
        }
    }
}

fn top_names(content: &Path) -> BTreeSet<String> {
    fs::read_dir(content)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Content that a process which died had written and not turned to, or turned from and not removed.
fn remove_leftovers(dir: &Path, current: Option<&Path>) -> Result<(), VolumeError> {
    for entry in fs::read_dir(dir).map_err(disk("list", dir))?.flatten() {
        let name = entry.file_name();
        let ours = name.to_string_lossy().starts_with("..");
        let is_content = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours && is_content && current != Some(Path::new(&name)) {
            fs::remove_dir_all(entry.path()).map_err(disk("remove", &entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn files(list: &[(&str, &str, u32)]) -> BTreeMap<String, File> {
        list.iter()
            .map(|(path, text, mode)| {
                let file = File {
                    bytes: text.as_bytes().to_vec(),
                    mode: *mode,
                    user: None,
                };
                ((*path).to_string(), file)
            })
            .collect()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = top_names(dir).into_iter().collect();
        names.retain(|name| !name.starts_with("..20"));
        names
    }

    #[test]
    fn files_are_written_whole_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("v");
        let nobody = Ownership::default();
        let first = files(&[("a", "1", 0o400), ("d/b", "2", 0o644)]);
        assert!(write(&first, &at, &nobody).unwrap());
        assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(at.join("d/b")).unwrap(), "2");
        assert_eq!(fs::read_link(at.join("a")).unwrap(), Path::new("..data/a"));
        let mode = fs::metadata(at.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        assert_eq!(names(&at), ["..data", "a", "d"]);
        let content = fs::read_link(at.join(DATA)).unwrap();
        assert!(!write(&first, &at, &nobody).unwrap());
        assert_eq!(fs::read_link(at.join(DATA)).unwrap(), content);
        assert!(write(&files(&[("a", "new", 0o400)]), &at, &nobody).unwrap());
        assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "new");
        assert_eq!(names(&at), ["..data", "a"]);
        assert_ne!(fs::read_link(at.join(DATA)).unwrap(), content);
        assert!(!at.join(content).exists());
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let nobody = Ownership::default();
        write(&files(&[("a", "1", 0o644)]), dir.path(), &nobody).unwrap();
        fs::create_dir(dir.path().join("..2020_01_01_00_00_00.7")).unwrap();
        symlink("nowhere", dir.path().join(DATA_NEXT)).unwrap();
        fs::remove_file(dir.path().join("a")).unwrap();
        write(&files(&[("a", "1", 0o644)]), dir.path(), &nobody).unwrap();
        assert!(!dir.path().join("..2020_01_01_00_00_00.7").exists());
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "1");
        write(&BTreeMap::new(), dir.path(), &nobody).unwrap();
        assert!(!names(dir.path()).contains(&"a".to_string()));
    }
}
