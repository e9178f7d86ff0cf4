//! `registries.yaml`: mirrors, credentials and TLS of registries, in the format k3s has.
//! <https://docs.k3s.io/installation/private-registry>
//!
//! ```yaml
//! mirrors:
//!   docker.io:
//!     endpoint: ["https://mirror.lan:5000"]
//!     rewrite: {"^library/(.*)": "hub/$1"}
//! configs:
//!   mirror.lan:5000:
//!     auth: {username: u, password: p}
//!     tls: {ca_file: /etc/ssl/mirror.pem}
//! # Not in k3s: images that garbage collection keeps.
//! pinned: ["registry.example/base/*"]
//! ```

use super::keyring::{Credentials, decode_auth};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The whole file. What it does not know it refuses, so that nothing is believed to work that does not.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registries {
    /// By registry as image names have it; `*` for every other.
    pub mirrors: BTreeMap<String, Mirror>,
    /// By host (and port) of an endpoint; `*` for every other.
    pub configs: BTreeMap<String, Config>,
    /// Names or patterns of images that garbage collection must keep.
    pub pinned: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Addresses tried in this order, the registry itself last.
    #[serde(alias = "endpoints")]
    pub endpoint: Vec<String>,
    /// Regular expressions on the repository, for the mirrors only.
    pub rewrite: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub auth: Option<Login>,
    pub tls: Option<Tls>,
}

/// Not shown by `Debug`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    username: String,
    password: String,
    auth: String,
    #[serde(alias = "identitytoken")]
    identity_token: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// How an endpoint is trusted.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub insecure_skip_verify: bool,
}

impl Registries {
    /// Reads the file's text. `Err` says what is wrong and where, for a person.
    pub fn parse(text: &str) -> Result<Registries, String> {
        // An empty file is an empty mapping.
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            return Ok(Registries::default());
        }
        let registries: Registries = serde_saphyr::from_str(text).map_err(|error| {
            // Never the line itself, which may hold a password.
            let line = error.location().map_or(1, |location| location.line());
            let why = error.without_snippet().to_string();
            format!("line {line}: {}", why.lines().next().unwrap_or_default())
        })?;
        for mirror in registries.mirrors.values() {
            for pattern in mirror.rewrite.keys() {
                regex::Regex::new(pattern)
                    .map_err(|error| format!("rewrite {pattern:?}: {error}"))?;
            }
        }
        Ok(registries)
    }

    /// The settings of an endpoint known by any of these names.
    fn config(&self, hosts: &[&str]) -> Option<&Config> {
        hosts
            .iter()
            .find_map(|host| self.configs.get(*host))
            .or_else(|| self.configs.get("*"))
    }

    pub fn tls(&self, hosts: &[&str]) -> Option<&Tls> {
        self.config(hosts)?.tls.as_ref()
    }

    pub fn credentials(&self, hosts: &[&str]) -> Option<Credentials> {
        let auth = self.config(hosts)?.auth.as_ref()?;
        if !auth.identity_token.is_empty() {
            return Some(Credentials::Identity {
                token: auth.identity_token.clone(),
            });
        }
        if !auth.username.is_empty() || !auth.password.is_empty() {
            return Some(Credentials::Login {
                username: auth.username.clone(),
                password: auth.password.clone(),
            });
        }
        decode_auth(&auth.auth)
    }
}

/// The first expression that fits rewrites the repository, in Go's `$1` notation; else it stays.
pub fn rewrite(rules: &BTreeMap<String, String>, repository: &str) -> String {
    for (pattern, replacement) in rules {
        // Checked when the file was read.
        let Ok(pattern) = regex::Regex::new(pattern) else {
            continue;
        };
        if pattern.is_match(repository) {
            return pattern
                .replace_all(repository, replacement.as_str())
                .into_owned();
        }
    }
    repository.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_of_k3s_is_understood() {
        let text = r#"
mirrors:
  docker.io:
    endpoint:
      - "https://registry.example.com:5000"
    rewrite:
      "^rancher/(.*)": "mirrorproject/rancher-images/$1"
  "*":
    endpoint: ["https://all.example.com"]
configs:
  "registry.example.com:5000":
    auth:
      username: xxxxxx
      password: yyyyyy
    tls:
      cert_file: /c
      key_file: /k
      ca_file: /a
  other:
    tls: {insecure_skip_verify: true}
"#;
        let read = Registries::parse(text).unwrap();
        assert!(!format!("{read:?}").contains("yyyyyy"));
        let rules = &read.mirrors["docker.io"].rewrite;
        assert_eq!(
            rewrite(rules, "rancher/pause"),
            "mirrorproject/rancher-images/pause"
        );
        assert_eq!(rewrite(rules, "library/busybox"), "library/busybox");
        assert!(read.tls(&["other"]).unwrap().insecure_skip_verify);
        assert_eq!(
            read.credentials(&["registry.example.com:5000"]),
            Some(Credentials::Login {
                username: "xxxxxx".into(),
                password: "yyyyyy".into()
            })
        );
        assert!(read.credentials(&["other"]).is_none());
    }

    #[test]
    fn mistakes_are_told() {
        for (text, why) in [
            ("mirors: {}", "mirors"),
            ("mirrors: {a: {endpoints: [x], rewrit: {}}}", "rewrit"),
            ("mirrors: {a: {rewrite: {'(': x}}}", "rewrite"),
            ("mirrors: [", ""),
        ] {
            let error = Registries::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        for empty in ["", "\n# nothing\n"] {
            assert!(Registries::parse(empty).unwrap().mirrors.is_empty());
        }
    }
}
