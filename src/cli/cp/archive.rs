//! The archive on the wire: packed from local files, unpacked into them.
//!
//! What comes from a container is not trusted: nothing is written outside the destination, links and special files are
//! left out (as kubectl does since CVE-2019-11251).

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Packs `source` under `name`; links stay links.
pub fn pack(source: &Path, name: &str, output: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(output);
    archive.follow_symlinks(false);
    // The source itself may be named by a link.
    if source.is_dir() {
        archive.append_dir_all(name, source)?;
    } else if source.symlink_metadata()?.is_symlink() {
        archive.append_file(name, &mut fs::File::open(source)?)?;
    } else {
        archive.append_path_with_name(source, name)?;
    }
    archive.into_inner()?.flush()
}

/// Unpacks what lies at `source` to `destination`; a file into a directory gets its own name there.
pub fn unpack(input: impl Read, source: &str, destination: &Path) -> io::Result<()> {
    let prefix = normal(source);
    let base = match prefix.file_name() {
        Some(name) if destination.is_dir() => destination.join(name),
        _ => destination.to_owned(),
    };
    let mut archive = tar::Archive::new(input);
    let mut found = false;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let relative = normal(&path.to_string_lossy());
        let Ok(relative) = relative.strip_prefix(&prefix) else {
            return Err(io::Error::other(format!(
                "tar contents corrupted: {} is not in {source}",
                path.display()
            )));
        };
        found = true;
        let at = if relative.as_os_str().is_empty() {
            base.clone()
        } else {
            base.join(relative)
        };
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().unwrap_or(0o644);
        if kind.is_dir() {
            fs::create_dir_all(&at)?;
            // Writable at least for us, or its files could not be made.
            fs::set_permissions(&at, fs::Permissions::from_mode(mode & 0o777 | 0o700))?;
        } else if kind.is_file() {
            if let Some(parent) = at.parent() {
                fs::create_dir_all(parent)?;
            }
            // A link that stands there must not lead the bytes elsewhere.
            match fs::symlink_metadata(&at) {
                Ok(found) if found.is_symlink() => fs::remove_file(&at)?,
                _ => {}
            }
            let mut file = fs::File::create(&at)?;
            io::copy(&mut entry, &mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name()?.unwrap_or_default().into_owned();
            eprintln!(
                "warning: skipping symlink: {:?} -> {:?}",
                at.display(),
                target.display()
            );
        } else {
            eprintln!("warning: skipping special file: {:?}", at.display());
        }
    }
    if found {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{source}: no such file or directory in the container"),
        ))
    }
}

/// Without `/` in front, `.` and `..`, which never leads above the start.
fn normal(path: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn trees_come_back_and_links_stay_out() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("deep/empty")).unwrap();
        fs::write(tree.join("deep/file"), "text").unwrap();
        std::os::unix::fs::symlink("file", tree.join("deep/link")).unwrap();
        let mut bytes = Vec::new();
        pack(&tree, "srv/tree", &mut bytes).unwrap();
        let out = directory.path().join("out");
        unpack(bytes.as_slice(), "/srv/tree", &out).unwrap();
        assert_eq!(fs::read_to_string(out.join("deep/file")).unwrap(), "text");
        assert!(out.join("deep/empty").is_dir());
        assert!(out.join("deep/link").symlink_metadata().is_err());
        // Into a directory that is there, under its own name.
        unpack(bytes.as_slice(), "/srv/tree", &out).unwrap();
        assert!(out.join("tree/deep/file").exists());
    }

    #[test]
    fn nothing_leaves_the_destination() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        for name in ["srv/../../escape", "other/file"] {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            let field = &mut header.as_gnu_mut().unwrap().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(1);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, &b"x"[..]).unwrap();
            let bytes = archive.into_inner().unwrap();
            assert!(unpack(bytes.as_slice(), "srv", &out).is_err(), "{name}");
        }
        assert!(!directory.path().join("escape").exists());
        assert!(unpack(&[][..], "srv", &out).is_err());
    }
}
