//! Reading OCI and docker archives from a stream.
//!
//! A tar stream brings its members in any order, and which of them are layers is known only from one that may come
//! last. So members are first spooled to `tmp/` on disk, as transferred (compressed), hashed on the way; then the
//! index is read and the layers are unpacked from there. The spool is removed at the end, whatever happens.

use super::ImageError;
use super::decompress::decompress;
use super::digest::{Digest, HashingReader};
use super::durable::Scratch;
use super::manifest::DOCUMENT_BYTES_MAX;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Most members of an archive: some images of `LAYERS_MAX` layers with three files each in docker's old form.
const MEMBERS_MAX: usize = 16 * 1024;

/// Most bytes of an archive's members together; the disk usually ends earlier.
const SPOOL_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// Links to follow from a member's name; `docker save` makes one.
const LINKS_MAX: usize = 4;

/// One member of the archive, spooled.
#[derive(Debug)]
struct Member {
    file: PathBuf,
    digest: Digest,
    bytes: u64,
}

/// An archive's members on disk.
pub(super) struct Spool {
    scratch: Scratch,
    members: HashMap<String, Member>,
    links: HashMap<String, String>,
}

fn broken(why: impl std::fmt::Display) -> ImageError {
    ImageError::Archive {
        why: why.to_string(),
    }
}

impl Spool {
    /// Reads the whole stream, plain or compressed.
    pub fn read(tmp: &Path, stream: &mut dyn Read) -> Result<Spool, ImageError> {
        let mut spool = Spool {
            scratch: Scratch::new(tmp)?,
            members: HashMap::new(),
            links: HashMap::new(),
        };
        let plain = decompress(stream).map_err(|error| broken(unfold(&error)))?;
        let mut archive = tar::Archive::new(plain);
        let mut total = 0;
        for entry in archive.entries().map_err(|error| broken(unfold(&error)))? {
            let mut entry = entry.map_err(|error| broken(unfold(&error)))?;
            spool.member(&mut entry, &mut total)?;
        }
        // What follows the tar's end: a gzip checksum that must be right.
        HashingReader::new(archive.into_inner())
            .drain(SPOOL_BYTES_MAX)
            .map_err(|error| broken(unfold(&error)))?;
        if spool.members.is_empty() {
            return Err(broken("it is empty or no tar archive"));
        }
        Ok(spool)
    }

    fn member<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        total: &mut u64,
    ) -> Result<(), ImageError> {
        let path = entry.path().map_err(|error| broken(unfold(&error)))?;
        let Some(name) = member_name(&path) else {
            return Err(broken(format!("member {} lies outside", path.display())));
        };
        if self.members.len() + self.links.len() >= MEMBERS_MAX {
            return Err(ImageError::Limit {
                what: "members of the archive".to_owned(),
                value: MEMBERS_MAX as u64 + 1,
                limit: MEMBERS_MAX as u64,
            });
        }
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name().map_err(|error| broken(unfold(&error)))?;
            let target = target.unwrap_or_default();
            let base = if kind.is_symlink() {
                Path::new(&name)
                    .parent()
                    .unwrap_or(Path::new(""))
                    .to_owned()
            } else {
                PathBuf::new()
            };
            if let Some(target) = member_name(&base.join(target)) {
                self.links.insert(name, target);
            }
            return Ok(());
        }
        if !kind.is_file() {
            return Ok(());
        }
        let file = self.scratch.path().join(self.members.len().to_string());
        let mut out =
            File::create_new(&file).map_err(|error| ImageError::io("create", &file, error))?;
        let mut reader = HashingReader::new(entry);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|error| broken(unfold(&error)))?;
            if count == 0 {
                break;
            }
            *total += count as u64;
            if *total > SPOOL_BYTES_MAX {
                return Err(ImageError::Limit {
                    what: "bytes of the archive".to_owned(),
                    value: *total,
                    limit: SPOOL_BYTES_MAX,
                });
            }
            out.write_all(&buffer[..count])
                .map_err(|error| ImageError::io("write", &file, error))?;
        }
        let (digest, bytes) = reader
            .drain(u64::MAX)
            .map_err(|error| broken(unfold(&error)))?;
        self.members.insert(
            name,
            Member {
                file,
                digest,
                bytes,
            },
        );
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Member> {
        let mut name = member_name(Path::new(name))?;
        for _ in 0..=LINKS_MAX {
            if let Some(member) = self.members.get(&name) {
                return Some(member);
            }
            name.clone_from(self.links.get(&name)?);
        }
        None
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn member_or_err(&self, name: &str) -> Result<&Member, ImageError> {
        self.find(name).ok_or_else(|| {
            broken(format!(
                "{name} is missing; the archive is cut short or incomplete"
            ))
        })
    }

    /// A small member's bytes with their digest.
    pub fn document(&self, name: &str) -> Result<(Vec<u8>, Digest), ImageError> {
        let member = self.member_or_err(name)?;
        if member.bytes > DOCUMENT_BYTES_MAX as u64 {
            return Err(ImageError::Limit {
                what: format!("bytes of {name} in the archive"),
                value: member.bytes,
                limit: DOCUMENT_BYTES_MAX as u64,
            });
        }
        let bytes =
            fs::read(&member.file).map_err(|error| ImageError::io("read", &member.file, error))?;
        Ok((bytes, member.digest.clone()))
    }

    /// A blob's small document, its digest verified.
    pub fn blob_document(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let name = blob_name(digest);
        let (bytes, found) = self.document(&name)?;
        digest.expect(&found, &format!("{name} in the archive"))?;
        Ok(bytes)
    }

    /// A member as a stream, with its length and the digest it has.
    pub fn stream(&self, name: &str) -> Result<(File, u64, Digest), ImageError> {
        let member = self.member_or_err(name)?;
        let file = File::open(&member.file)
            .map_err(|error| ImageError::io("read", &member.file, error))?;
        Ok((file, member.bytes, member.digest.clone()))
    }
}

/// Where an OCI layout keeps a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A member's name without `./` and `..`; `None` where it leaves the archive.
fn member_name(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// The innermost words of a tar error.
fn unfold(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it ends in the middle (cut short?)".to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_names_stay_inside() {
        for (text, name) in [
            ("./blobs/sha256/a", Some("blobs/sha256/a")),
            ("/index.json", Some("index.json")),
            ("a/../b/layer.tar", Some("b/layer.tar")),
            ("../x", None),
        ] {
            assert_eq!(member_name(Path::new(text)).as_deref(), name, "{text}");
        }
    }
}
