//! An image that does not come. The words are our registry client's, containerd's and the registries' own.

use super::cause::Cause;
use super::facts::{Facts, Kind, Lookup};
use super::parts::Part;
use crate::object::access::list;

/// What a pull's error message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Credentials,
    RateLimit,
    Absent,
    Platform,
    Disk,
    Certificate,
    Network,
    Other,
}

/// The first row whose words occur decides: a message about credentials often says `not found` too.
const WORDS: [(Failure, &[&str]); 7] = [
    (
        Failure::RateLimit,
        &["toomanyrequests", "too many requests", "rate limit", "429"],
    ),
    (
        Failure::Credentials,
        &[
            "unauthorized",
            "authentication required",
            "access denied",
            "authorization failed",
            "403 forbidden",
            "401",
            "denied:",
        ],
    ),
    (
        Failure::Platform,
        &[
            "no match for platform",
            "not made for this machine",
            "no matching manifest",
            "no child with platform",
        ],
    ),
    (
        Failure::Disk,
        &[
            "no space left",
            "bytes free",
            "has 0 free",
            "free; remove images",
        ],
    ),
    (
        Failure::Certificate,
        &["x509", "certificate", "unknownissuer", "tls:"],
    ),
    (
        Failure::Absent,
        &[
            "not found",
            "manifest unknown",
            "name unknown",
            "does not exist",
            "404",
        ],
    ),
    (
        Failure::Network,
        &[
            "cannot be reached",
            "no such host",
            "dial tcp",
            "connection refused",
            "timeout",
            "timed out",
            "unreachable",
            "name resolution",
            "dns",
            "broke off",
            "connection reset",
            "eof",
            "server misbehaving",
            "failed to lookup",
        ],
    ),
];

fn failure(message: &str) -> Failure {
    let message = message.to_lowercase();
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| message.contains(word)))
        .map_or(Failure::Other, |(failure, _)| *failure)
}

/// Host, repository and tag as the image's name has them.
fn split(image: &str) -> (&str, &str, &str) {
    let (host, rest) = match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", image),
    };
    let (repository, tag) = match rest.rsplit_once('@').or_else(|| rest.rsplit_once(':')) {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (rest, "latest"),
    };
    (host, repository, tag)
}

pub fn cause(facts: &Facts, part: &Part, reason: &str, message: &str) -> Cause {
    let image = part.image();
    let who = part.subject();
    let other = facts.command(&format!(
        "set image pod/{} {}=<image>",
        facts.name(),
        part.name
    ));
    match reason {
        "InvalidImageName" => {
            return Cause::new(format!("{who} names an image that cannot be one: {image:?}"))
                .said(message)
                .mend("write it as [host[:port]/]repository[:tag][@sha256:digest], in lower case without spaces")
                .command(other);
        }
        "ErrImageNeverPull" => {
            return Cause::new(format!(
                "{who} may not pull its image (imagePullPolicy: Never), and {image} is not on the node"
            ))
            .said(message)
            .mend("bring the image to the node, or set imagePullPolicy to IfNotPresent in the manifest")
            .command("coracle image import <archive.tar>")
            .command(format!("coracle image pull {image}"));
        }
        "ImageInspectError" => {
            return Cause::new(format!(
                "the node cannot read the image {image} of {who} from its store"
            ))
            .said(message)
            .mend("remove the image and let it be pulled again")
            .command(format!("coracle image rm {image}"));
        }
        _ => {}
    }
    // The container's own message may be short where the event says all.
    let event = facts
        .event(&["Failed"], part.name)
        .map(|event| crate::object::access::text(event, "/message"))
        .filter(|said| said.contains("ull image"));
    let said = [Some(message), event]
        .into_iter()
        .flatten()
        .find(|said| failure(said) != Failure::Other)
        .unwrap_or(if message.is_empty() {
            event.unwrap_or("")
        } else {
            message
        });
    explain(facts, part, reason, said, &other)
}

fn explain(facts: &Facts, part: &Part, reason: &str, said: &str, other: &str) -> Cause {
    let image = part.image();
    let (host, repository, tag) = split(image);
    let mut cause = Cause::new(format!(
        "{} waits for its image {image} ({reason})",
        part.subject()
    ));
    cause = match failure(said) {
        Failure::Credentials => {
            let secrets: Vec<&str> = facts
                .references
                .iter()
                .filter(|reference| reference.kind == Kind::PullSecret)
                .map(|reference| reference.name.as_str())
                .collect();
            let missing = facts.references.iter().find(|reference| {
                reference.kind == Kind::PullSecret && reference.found == Lookup::Missing
            });
            let why = match (missing, secrets.as_slice()) {
                (Some(secret), _) => format!("the pod's image pull secret {:?} does not exist", secret.name),
                (None, []) if list(&facts.pod, "/spec/imagePullSecrets").is_empty() => format!(
                    "registry {host} wants a user and password for {repository} (or has no such repository), and the pod names no image pull secret"
                ),
                (None, names) => format!(
                    "registry {host} does not accept the credentials of image pull secret {}",
                    names.join(", ")
                ),
            };
            let name = missing.map_or("registry", |secret| secret.name.as_str());
            cause
                .because(why)
                .mend("check that the repository's name is right; if it is private, store credentials and name the secret in spec.imagePullSecrets")
                .command(facts.command(&format!(
                    "create secret docker-registry {name} --docker-server={host} --docker-username=<user> --docker-password=<password>"
                )))
        }
        Failure::RateLimit => cause
            .because(format!("registry {host} has had too many requests from this address"))
            .mend("wait for its limit to pass, log in with an image pull secret, use a mirror, or import the image")
            .command(format!("coracle image pull {image}")),
        Failure::Absent => cause
            .because(format!("registry {host} has no {repository} with the tag or digest {tag}"))
            .mend("correct the image's name or tag")
            .command(other),
        Failure::Platform => cause
            .because("the image is not built for this node's processor")
            .mend("choose an image that is built for it, or build one (docker buildx build --platform …)")
            .command(other),
        Failure::Disk => cause
            .because("the node's disk has no room for it")
            .mend("remove images or files, or put the data directory on a larger disk")
            .command("coracle image ls")
            .command("coracle image rm <image>"),
        Failure::Certificate => cause
            .because(format!("the node does not trust the certificate of registry {host}"))
            .mend("give the node the registry's CA certificate, and check that the node's clock is right")
            .command("sudo coracle doctor"),
        Failure::Network => cause
            .because(format!("the node cannot reach registry {host}"))
            .mend("check the node's network and name service; without a network, import the image from an archive")
            .command(format!("getent hosts {}", host.split(':').next().unwrap_or(host)))
            .command("coracle image import <archive.tar>"),
        Failure::Other => cause
            .mend("try the pull by hand and read what it says")
            .command(format!("coracle image pull {image}")),
    };
    cause.said(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_understood() {
        for (message, expected) in [
            (
                "registry r.io cannot be reached: x; check the name, the network and that the registry runs",
                Failure::Network,
            ),
            (
                "registry r.io refuses to give r.io/a: unauthorized; check the image pull secret's user and password",
                Failure::Credentials,
            ),
            (
                "r.io/a:b not found: manifest unknown to the registry; check the repository name and the tag",
                Failure::Absent,
            ),
            (
                "pull access denied, repository does not exist or may require authorization",
                Failure::Credentials,
            ),
            (
                "toomanyrequests: You have reached your pull rate limit",
                Failure::RateLimit,
            ),
            ("dial tcp: lookup r.io: no such host", Failure::Network),
            (
                "r.io/a is not made for this machine (linux/arm64); it offers: linux/amd64",
                Failure::Platform,
            ),
            ("no space left on the disk of /var", Failure::Disk),
            (
                "tls: failed to verify certificate: x509: unknown authority",
                Failure::Certificate,
            ),
            ("who knows", Failure::Other),
        ] {
            assert_eq!(failure(message), expected, "{message}");
        }
        assert_eq!(split("busybox"), ("docker.io", "busybox", "latest"));
        assert_eq!(split("r.io:5000/a/b:c"), ("r.io:5000", "a/b", "c"));
        assert_eq!(
            split("localhost/a@sha256:1"),
            ("localhost", "a", "sha256:1")
        );
    }
}
