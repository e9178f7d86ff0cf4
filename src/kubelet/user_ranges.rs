//! Which of the host's users a pod's own are (`hostUsers: false`): 65536 ids for each, kept in the pod's directory, so
//! that they go when it goes and survive everything it survives.
//! <https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/>

use super::dirs::Dirs;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::Mutex;

/// Ids per pod; the first range begins behind the host's own.
const IDS: u32 = 65536;
/// The last range that ends below 2^31, where some programs stop to count.
const RANGES_MAX: u32 = 32_767;
const FILE: &str = "first-user";

#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    #[error("reading or writing {path}: {cause}")]
    Io { path: String, cause: io::Error },
    #[error("{path} does not hold a range of users: {text:?}; delete the pod")]
    Malformed { path: String, text: String },
    #[error("no range of {IDS} users is left on this node for a pod with `hostUsers: false`")]
    Full,
}

/// Between looking for a free one and taking it.
static CHOOSING: Mutex<()> = Mutex::new(());

/// The host's id of the pod's user 0: the pod's own since it was first asked for, or one that no pod here has.
pub fn of_pod(dirs: &Dirs, uid: &str) -> Result<u32, RangeError> {
    let _one = CHOOSING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = dirs.pod(uid).join(FILE);
    let failed = |cause| RangeError::Io {
        path: path.display().to_string(),
        cause,
    };
    match fs::read_to_string(&path) {
        Ok(text) => {
            return parse(&text).ok_or_else(|| RangeError::Malformed {
                path: path.display().to_string(),
                text,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let taken: BTreeSet<u32> = fs::read_dir(&dirs.pods)
        .map_err(failed)?
        .flatten()
        .filter_map(|pod| parse(&fs::read_to_string(pod.path().join(FILE)).ok()?))
        .collect();
    let first = free(&taken).ok_or(RangeError::Full)?;
    let write = || -> io::Result<()> {
        fs::create_dir_all(dirs.pod(uid))?;
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(first.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dirs.pod(uid))?.sync_all()
    };
    write().map_err(failed)?;
    Ok(first)
}

fn parse(text: &str) -> Option<u32> {
    let first: u32 = text.trim().parse().ok()?;
    (first > 0 && first.is_multiple_of(IDS) && first / IDS <= RANGES_MAX).then_some(first)
}

fn free(taken: &BTreeSet<u32>) -> Option<u32> {
    (1..=RANGES_MAX)
        .map(|number| number * IDS)
        .find(|first| !taken.contains(first))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_pod_keeps_its_own() {
        let place = tempfile::tempdir().unwrap();
        let dirs = Dirs {
            pods: place.path().join("pods"),
            run: place.path().join("run"),
        };
        fs::create_dir_all(&dirs.pods).unwrap();
        assert_eq!(of_pod(&dirs, "a").unwrap(), 65536);
        assert_eq!(of_pod(&dirs, "b").unwrap(), 131_072);
        assert_eq!(of_pod(&dirs, "a").unwrap(), 65536);
        fs::remove_dir_all(dirs.pod("a")).unwrap();
        assert_eq!(of_pod(&dirs, "c").unwrap(), 65536);
        fs::write(dirs.pod("c").join(FILE), "7").unwrap();
        let error = of_pod(&dirs, "c").unwrap_err().to_string();
        assert!(error.contains("\"7\""), "{error}");
    }

    #[test]
    fn the_last_one() {
        let all: BTreeSet<u32> = (1..=RANGES_MAX).map(|n| n * IDS).collect();
        assert_eq!(free(&all), None);
        assert_eq!(parse("65536\n"), Some(65536));
        for text in ["", "0", "-1", "65537", "4294901760"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
