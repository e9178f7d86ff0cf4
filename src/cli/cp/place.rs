//! Where a copy comes from or goes to. Pure.

use anyhow::Context;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Local(PathBuf),
    Remote(Remote),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Remote {
    pub namespace: Option<String>,
    pub pod: String,
    pub path: String,
}

impl Place {
    /// `[NAMESPACE/]POD:PATH` is in a pod, all else here; a local name with a colon is written `./a:b`.
    pub fn parse(text: &str) -> Result<Place, anyhow::Error> {
        let Some((pod, path)) = text.split_once(':') else {
            anyhow::ensure!(!text.is_empty(), "filepath can not be empty");
            return Ok(Place::Local(text.into()));
        };
        if pod.starts_with(['.', '/']) {
            return Ok(Place::Local(text.into()));
        }
        anyhow::ensure!(!path.is_empty(), "filepath can not be empty: {text:?}");
        let (namespace, pod) = match pod.split_once('/') {
            Some((namespace, pod)) => (Some(namespace.to_owned()), pod),
            None => (None, pod),
        };
        anyhow::ensure!(
            !pod.is_empty() && !pod.contains('/') && namespace.as_deref() != Some(""),
            "{text:?} is no [NAMESPACE/]POD:PATH"
        );
        Ok(Place::Remote(Remote {
            namespace,
            pod: pod.to_owned(),
            path: path.to_owned(),
        }))
    }
}

/// The container's directory to unpack in, and the name there.
pub fn inside(
    source: &Path,
    destination: &str,
    is_directory: bool,
) -> Result<(String, String), anyhow::Error> {
    let trimmed = destination.trim_end_matches('/');
    if is_directory {
        let directory = if trimmed.is_empty() { "/" } else { trimmed };
        let absolute = std::path::absolute(source)?;
        let name = absolute
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("{} has no name to copy under", source.display()))?;
        return Ok((directory.to_owned(), name.to_owned()));
    }
    let (directory, name) = match trimmed.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((directory, name)) => (directory, name),
        None => (".", trimmed),
    };
    anyhow::ensure!(
        !name.is_empty() && name != "." && name != "..",
        "destination {destination:?} has no name"
    );
    Ok((directory.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let remote = |namespace: Option<&str>, pod: &str, path: &str| {
            Some(Place::Remote(Remote {
                namespace: namespace.map(str::to_owned),
                pod: pod.to_owned(),
                path: path.to_owned(),
            }))
        };
        for (text, expected) in [
            ("web:/tmp/x", remote(None, "web", "/tmp/x")),
            ("ns/web:x", remote(Some("ns"), "web", "x")),
            ("./a:b", Some(Place::Local("./a:b".into()))),
            ("dir/file", Some(Place::Local("dir/file".into()))),
            ("web:", None),
            (":x", None),
            ("a/b/c:x", None),
            ("/b:x", Some(Place::Local("/b:x".into()))),
            ("", None),
        ] {
            assert_eq!(Place::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn names_in_the_container() {
        for (destination, is_directory, directory, name) in [
            ("/tmp", true, "/tmp", "file"),
            ("/", true, "/", "file"),
            ("/tmp/new", false, "/tmp", "new"),
            ("/new", false, "/", "new"),
            ("new", false, ".", "new"),
            ("a/new/", false, "a", "new"),
        ] {
            let found = inside(Path::new("some/file"), destination, is_directory).ok();
            assert_eq!(
                found,
                Some((directory.to_owned(), name.to_owned())),
                "{destination}"
            );
        }
        assert!(inside(Path::new("x"), "..", false).is_err());
    }
}
