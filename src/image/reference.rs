//! Image names, normalised as docker and containerd do (github.com/distribution/reference).

use super::ImageError;
use super::digest::Digest;

/// Longest image name accepted: 255 for the repository (distribution-spec), a tag of 128, a digest and a host.
const NAME_BYTES_MAX: usize = 1024;

/// Longest repository path, as docker has it.
const REPOSITORY_BYTES_MAX: usize = 255;

/// Longest tag (distribution-spec).
const TAG_BYTES_MAX: usize = 128;

const DOCKER_HUB: &str = "docker.io";

/// A full image name: registry, repository, and a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Name {
    /// Reads `busybox`, `busybox:1.36`, `ghcr.io/a/b@sha256:…` and the like. No I/O.
    pub fn parse(text: &str) -> Result<Name, ImageError> {
        parts(text).map_err(|why| ImageError::Reference {
            reference: text.chars().take(NAME_BYTES_MAX).collect(),
            why,
        })
    }

    /// Host and port as written, `docker.io` where none is.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository inside the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and repository: `docker.io/library/busybox`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The name's tag form, unless it names a digest only.
    pub fn tagged(&self) -> Option<String> {
        self.tag
            .as_ref()
            .map(|tag| format!("{}:{tag}", self.repository()))
    }

    /// The name by `digest`.
    pub fn by_digest(&self, digest: impl std::fmt::Display) -> String {
        format!("{}@{digest}", self.repository())
    }

    pub(super) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What the registry is asked for: the digest where there is one, since it says more than a tag.
    pub(super) fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// What the name is kept under: its digest form where it has one.
    pub fn key(&self) -> String {
        match &self.digest {
            Some(digest) => self.by_digest(digest),
            None => self.tagged().unwrap_or_else(|| self.repository()),
        }
    }

    /// Whether the registry is this machine itself, where plain HTTP is safe and usual.
    #[cfg(test)]
    fn is_loopback(&self) -> bool {
        is_loopback(&self.registry)
    }
}

/// Whether `host[:port]` is this machine.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// `Err` holds the reason in upstream's words.
fn parts(text: &str) -> Result<Name, String> {
    let invalid = || "invalid reference format".to_owned();
    if text.len() > NAME_BYTES_MAX {
        return Err("invalid reference format: name is too long".to_owned());
    }
    let (rest, digest) = match text.split_once('@') {
        None => (text, None),
        Some((rest, digest)) => (rest, Some(digest)),
    };
    let (registry, rest) = split_registry(rest);
    // After the registry, with its possible port, a colon begins the tag.
    let (path, tag) = match rest.split_once(':') {
        None => (rest, None),
        Some((path, tag)) => (path, Some(tag)),
    };
    let path = if registry == DOCKER_HUB && !path.contains('/') && !path.is_empty() {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if !is_registry(registry) || tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(invalid());
    }
    if !is_path(&path) {
        let lower = path.to_ascii_lowercase();
        if lower != path && is_path(&lower) {
            return Err(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            ));
        }
        return Err(invalid());
    }
    if path.len() > REPOSITORY_BYTES_MAX {
        return Err(format!(
            "repository name must not be more than {REPOSITORY_BYTES_MAX} characters"
        ));
    }
    let digest = digest.map(parse_digest).transpose()?;
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some("latest".to_owned()),
    };
    Ok(Name {
        registry: registry.to_owned(),
        path,
        tag,
        digest,
    })
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    if let Some(hex) = text.strip_prefix("sha256:") {
        return Digest::from_hex(hex).ok_or_else(|| "invalid reference format".to_owned());
    }
    match text.split_once(':') {
        Some(("sha384" | "sha512", _)) => {
            Err("unsupported digest algorithm, only sha256 is".to_owned())
        }
        _ => Err("invalid reference format".to_owned()),
    }
}

/// The first part is a registry when it could not be a user of Docker Hub.
fn split_registry(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            let hub = matches!(first, "index.docker.io" | "registry-1.docker.io");
            (if hub { DOCKER_HUB } else { first }, rest)
        }
        _ => (DOCKER_HUB, text),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return false;
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        match after {
            "" => return true,
            _ => ("", after.strip_prefix(':')),
        }
    } else {
        match text.split_once(':') {
            None => (text, Some("1")),
            Some((host, port)) => (host, Some(port)),
        }
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        && (host.is_empty() && text.starts_with('[') || host.split('.').all(is_label))
}

/// Components of lower-case letters and digits, joined inside by `.`, `_`, `__` or any number of `-`.
fn is_path(text: &str) -> bool {
    text.split('/').all(|component| {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = component.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return false;
        };
        alphanumeric(*first)
            && alphanumeric(*last)
            && component
                .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                .all(|between| {
                    matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
                })
    })
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, key) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("a/b", "docker.io/a/b:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/a/b:c", "docker.io/a/b:c"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x:1", "localhost:5000/x:1"),
            ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c:1"),
            ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
            ("coracle.local/hello", "coracle.local/hello:latest"),
            ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ] {
            assert_eq!(Name::parse(text).unwrap().key(), key, "{text}");
        }
        let by_digest = Name::parse(&format!("busybox:1@sha256:{HEX}")).unwrap();
        assert_eq!(
            by_digest.key(),
            format!("docker.io/library/busybox@sha256:{HEX}")
        );
        let digest_only = Name::parse(&format!("busybox@sha256:{HEX}")).unwrap();
        assert_eq!(digest_only.tagged(), None);
    }

    #[test]
    fn what_is_no_name_is_refused_as_the_kubelet_words_it() {
        for text in [
            "",
            " ",
            "busybox:",
            "busybox::1",
            "-x",
            "a//b",
            "busybox@sha256:12",
            "http://x/y",
            "a b",
            "busybox:la test",
            "x:y:z",
        ] {
            let error = Name::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!(
                    "couldn't parse image name {text:?}: invalid reference format"
                )),
                "{error}"
            );
        }
        let upper = Name::parse("Busy/Box").unwrap_err().to_string();
        assert!(
            upper.ends_with("repository name (Box) must be lowercase"),
            "{upper}"
        );
        assert!(Name::parse(&"a".repeat(5000)).is_err());
    }

    #[test]
    fn plain_http_only_to_this_machine() {
        for (text, loopback) in [
            ("localhost:5000/x", true),
            ("localhost/x", true),
            ("127.0.0.1:5000/x", true),
            ("127.1.2.3/x", true),
            ("localhost.example.com/x", false),
            ("busybox", false),
            ("10.0.0.1:5000/x", false),
        ] {
            assert_eq!(Name::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
