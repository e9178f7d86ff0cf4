//! Image names, normalised as docker and containerd do (distribution/reference).

use super::ImageError;
use oci_client::Reference;

/// Longest image name accepted: 255 for the repository (distribution-spec), a tag of 128, a digest and a host.
const NAME_BYTES_MAX: usize = 1024;

/// A full image name: registry, repository, and a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    reference: Reference,
}

impl Name {
    /// Reads `busybox`, `busybox:1.36`, `ghcr.io/a/b@sha256:…` and the like.
    pub fn parse(text: &str) -> Result<Name, ImageError> {
        let refuse = |why: &str| ImageError::Reference {
            reference: text.chars().take(NAME_BYTES_MAX).collect(),
            why: why.to_owned(),
        };
        if text.len() > NAME_BYTES_MAX {
            return Err(refuse("invalid reference format: name is too long"));
        }
        match text.parse::<Reference>() {
            Ok(reference) => {
                if let Some(digest) = reference.digest()
                    && !digest.starts_with("sha256:")
                {
                    return Err(refuse("unsupported digest algorithm, only sha256 is"));
                }
                Ok(Name { reference })
            }
            Err(_)
                if text.bytes().any(|byte| byte.is_ascii_uppercase())
                    && text.to_ascii_lowercase().parse::<Reference>().is_ok() =>
            {
                Err(refuse(
                    "invalid reference format: repository name must be lowercase",
                ))
            }
            Err(_) => Err(refuse("invalid reference format")),
        }
    }

    /// Registry and repository: `docker.io/library/busybox`.
    pub fn repository(&self) -> String {
        format!(
            "{}/{}",
            self.reference.registry(),
            self.reference.repository()
        )
    }

    /// The name's tag form, unless it names a digest only.
    pub fn tagged(&self) -> Option<String> {
        self.reference
            .tag()
            .map(|tag| format!("{}:{tag}", self.repository()))
    }

    /// The name by `digest`.
    pub fn by_digest(&self, digest: impl std::fmt::Display) -> String {
        format!("{}@{digest}", self.repository())
    }

    /// What the name is kept under: its digest form where it has one, since a digest says more than a tag.
    pub fn key(&self) -> String {
        match self.reference.digest() {
            Some(digest) => self.by_digest(digest),
            None => self.tagged().unwrap_or_else(|| self.repository()),
        }
    }

    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Whether the registry is this machine itself, where plain HTTP is safe and usual.
    pub fn is_loopback(&self) -> bool {
        let registry = self.reference.registry();
        let host = match registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
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
            upper.ends_with("repository name must be lowercase"),
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
