//! Keys, forms and errors of credentials.
#![allow(clippy::unwrap_used)]

use super::keyring::{Credentials, Keyring};
use serde_json::json;

fn found(auths: serde_json::Value, host: &str, repository: &str) -> Vec<String> {
    let mut keyring = Keyring::default();
    let _ = keyring.add_docker_config(json!({ "auths": auths }).to_string().as_bytes());
    keyring
        .lookup(host, repository)
        .into_iter()
        .map(|credentials| match credentials {
            Credentials::Login { username, password } => format!("{username}:{password}"),
            Credentials::Identity { token } => format!("identity {token}"),
            Credentials::Bearer { token } => format!("bearer {token}"),
        })
        .collect()
}

// Upstream's pkg/credentialprovider/keyring_test.go asks the same questions.
#[test]
fn keys_match_as_upstream_matches_them() {
    let one = |key: &str| json!({key: {"auth": "dTpw"}});
    for (key, host, repository, fits) in [
        ("docker.io", "docker.io", "library/busybox", true),
        (
            "https://index.docker.io/v1/",
            "docker.io",
            "library/busybox",
            true,
        ),
        ("https://index.docker.io/v1", "docker.io", "a/b", true),
        ("index.docker.io", "docker.io", "a/b", true),
        ("https://index.docker.io/v1/", "ghcr.io", "a/b", false),
        ("r.example:5000", "r.example:5000", "x", true),
        ("r.example", "r.example:5000", "x", false),
        ("http://r.example:5000/v2/", "r.example:5000", "x", true),
        ("r.example/team", "r.example", "team/x", true),
        ("r.example/team", "r.example", "other/x", false),
        ("*.example", "r.example", "x", true),
        ("*.example", "a.r.example", "x", false),
        ("*.*.example", "a.r.example", "x", true),
        (
            "r*.example:5000/v1/team",
            "reg.example:5000",
            "team/x",
            true,
        ),
        ("*.example:5000", "r.example", "x", false),
    ] {
        assert_eq!(
            !found(one(key), host, repository).is_empty(),
            fits,
            "{key} for {host}/{repository}"
        );
    }
}

#[test]
fn the_more_exact_entry_is_tried_first() {
    let auths = json!({
        "r.example": {"username": "a", "password": "b"},
        "r.example/team": {"auth": "dDpx"},
        "broken.example": {"auth": "%%%"},
        "helper.example": {},
        "azure.example": {"auth": "eDo", "identitytoken": "refresh"},
        "token.example": {"registrytoken": "ready"},
    });
    assert_eq!(found(auths.clone(), "r.example", "team/x"), ["t:q", "a:b"]);
    assert_eq!(found(auths.clone(), "r.example", "x"), ["a:b"]);
    assert_eq!(
        found(auths.clone(), "azure.example", "x"),
        ["identity refresh"]
    );
    assert_eq!(found(auths.clone(), "token.example", "x"), ["bearer ready"]);
    assert!(found(auths, "broken.example", "x").is_empty());
}

#[test]
fn registries_left_to_helpers_are_known() {
    let mut keyring = Keyring::default();
    let document = json!({
        "auths": {"https://index.docker.io/v1/": {}, "r.example": {"auth": "dTpw"}},
        "credHelpers": {"ecr.example": "ecr-login", "*.pkg.example": "gcloud"},
        "credsStore": "desktop",
    });
    let error = keyring
        .add_docker_config(document.to_string().as_bytes())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "it leaves passwords to the credential helper docker-credential-gcloud, which is not run; write `auth` entries into it"
    );
    for (host, helper) in [
        ("docker.io", Some("desktop")),
        ("registry-1.docker.io", Some("desktop")),
        ("ecr.example", Some("ecr-login")),
        ("eu.pkg.example", Some("gcloud")),
        ("r.example", None),
        ("other.example", None),
    ] {
        assert_eq!(keyring.helper(host, "team/x"), helper, "{host}");
    }
    // What is written down is used all the same.
    assert_eq!(keyring.lookup("r.example", "x").len(), 1);
    // Where nobody has logged in there is nothing to refuse but the store itself.
    let mut keyring = Keyring::default();
    assert!(
        keyring
            .add_docker_config(br#"{"credsStore": "pass"}"#)
            .is_err()
    );
    assert!(keyring.add_docker_config(br#"{"auths": {}}"#).is_ok());
    assert_eq!(keyring.helper("docker.io", "x"), None);
}

#[test]
fn errors_tell_where_and_never_what() {
    let mut keyring = Keyring::default();
    let error = keyring
        .add_docker_config(br#"{"auths": {"r": {"password": hunter2"#)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 1") && !error.contains("hunter"),
        "{error}"
    );
    let error = keyring
        .add_dockercfg(br#"{"r.example": {"auth": "c2VjcmV0"}, "s.example": {"auth": "YTpi"}}"#)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("r.example") && !error.contains("c2Vj"),
        "{error}"
    );
    // The sound entry is there all the same.
    assert_eq!(keyring.lookup("s.example", "x").len(), 1);
    let shown = format!("{keyring:?} {:?}", keyring.lookup("s.example", "x"));
    assert_eq!(shown, "[\"s.example\"] [login]");
}
