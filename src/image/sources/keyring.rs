//! Credentials by registry, read from docker's forms and matched as Kubernetes matches them.
//! <https://kubernetes.io/docs/concepts/containers/images/#config-json>

use super::glob;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Most bytes of a docker configuration; Kubernetes holds Secrets to 1 MiB.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// Key of Docker Hub in docker's own files.
const HUB_KEY: &str = "index.docker.io";

/// What one registry is told about who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password, or a personal access token in its place.
    Login { username: String, password: String },
    /// A refresh token (`identitytoken`): exchanged at the token endpoint by POST.
    Identity { token: String },
    /// A bearer token (`registrytoken`), sent as it is.
    Bearer { token: String },
}

/// Never the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::Login { .. } => "login",
            Credentials::Identity { .. } => "identity token",
            Credentials::Bearer { .. } => "bearer token",
        })
    }
}

/// Why a docker configuration could not be read; never holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("it is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it is no JSON of docker's form (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("the entry of {0:?} holds no user and password that can be read")]
    Entry(String),
    #[error(
        "it leaves passwords to the credential helper docker-credential-{0}, which is not run; write `auth` entries into it"
    )]
    Helper(String),
}

/// One entry: a pattern of hosts, a path below, and what to say there.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    /// `host`, `*.host:port`, with a path behind it where it names one.
    key: String,
    credentials: Credentials,
}

/// A registry whose password docker would ask a program for.
#[derive(Clone, PartialEq, Eq)]
struct Helped {
    key: String,
    helper: String,
}

/// Credentials of several registries.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    /// By key, descending: a longer path stands before its prefix.
    entries: Vec<Entry>,
    /// Used whatever the registry is: given by hand for one pull.
    any: Option<Credentials>,
    /// Registries whose credentials are not here but with a program.
    helped: Vec<Helped>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.entries.iter().map(|entry| &entry.key);
        f.debug_list().entries(keys).finish()
    }
}

#[derive(serde::Deserialize)]
#[serde(default, rename_all = "lowercase")]
#[derive(Default)]
struct Told {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

impl Keyring {
    /// For whichever registry the pull goes to.
    pub fn of(credentials: Credentials) -> Keyring {
        Keyring {
            any: Some(credentials),
            ..Keyring::default()
        }
    }

    /// Tells keyrings apart without holding what is in them.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut add = |part: &str| {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        let any = self.any.iter().map(|any| ("", any));
        let entries = self.entries.iter();
        let entries = entries.map(|entry| (entry.key.as_str(), &entry.credentials));
        for (key, credentials) in any.chain(entries) {
            add(key);
            match credentials {
                Credentials::Login { username, password } => {
                    add(username);
                    add(password);
                }
                Credentials::Identity { token } | Credentials::Bearer { token } => add(token),
            }
        }
        hasher.finalize().into()
    }

    /// Adds docker's `config.json`, also the value of `.dockerconfigjson`. Credential helpers are programs of the user who
    /// logged in: none is run, the registries they stand for are kept for [`Self::helper`], and an error tells.
    pub fn add_docker_config(&mut self, bytes: &[u8]) -> Result<(), KeyringError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Config {
            #[serde(default)]
            auths: serde_json::Map<String, serde_json::Value>,
            #[serde(default)]
            cred_helpers: BTreeMap<String, String>,
            #[serde(default)]
            creds_store: String,
        }
        let config: Config = parse(bytes)?;
        let mut helped: Vec<Helped> = config
            .cred_helpers
            .into_iter()
            .map(|(server, helper)| Helped {
                key: key(&server),
                helper,
            })
            .collect();
        if !config.creds_store.is_empty() {
            let servers = config.auths.iter().filter(|(_, auth)| is_elsewhere(auth));
            helped.extend(servers.map(|(server, _)| Helped {
                key: key(server),
                helper: config.creds_store.clone(),
            }));
        }
        let first = helped.first().map(|helped| helped.helper.clone());
        let store = Some(config.creds_store).filter(|s| !s.is_empty() && config.auths.is_empty());
        self.helped.extend(helped);
        self.add_all(config.auths)?;
        first
            .or(store)
            .map_or(Ok(()), |helper| Err(KeyringError::Helper(helper)))
    }

    /// The credential helper that docker would ask about `repository` at `host`.
    pub fn helper(&self, host: &str, repository: &str) -> Option<&str> {
        let is_hub = matches!(host, "docker.io" | "registry-1.docker.io");
        let target = format!("{host}/{repository}");
        let helped = self.helped.iter().find(|helped| {
            fits(&helped.key, &target)
                || is_hub && matches!(helped.key.as_str(), HUB_KEY | "docker.io")
        })?;
        Some(&helped.helper)
    }

    /// Adds the older form, the value of `.dockercfg`: the entries alone.
    pub fn add_dockercfg(&mut self, bytes: &[u8]) -> Result<(), KeyringError> {
        self.add_all(parse(bytes)?)
    }

    fn add_all(
        &mut self,
        auths: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), KeyringError> {
        let mut unreadable = None;
        for (server, auth) in auths {
            if is_elsewhere(&auth) {
                continue;
            }
            let credentials = serde_json::from_value::<Told>(auth)
                .ok()
                .and_then(|auth| read_auth(&auth));
            match credentials {
                Some(credentials) => self.entries.push(Entry {
                    key: key(&server),
                    credentials,
                }),
                None => unreadable = Some(server),
            }
        }
        // Stable: of equal keys the one that came first is tried first.
        self.entries.sort_by(|a, b| b.key.cmp(&a.key));
        match unreadable {
            Some(server) => Err(KeyringError::Entry(server)),
            None => Ok(()),
        }
    }

    /// Adds all of another's entries, after the own of equal keys.
    pub fn append(&mut self, other: Keyring) {
        self.entries.extend(other.entries);
        self.entries.sort_by(|a, b| b.key.cmp(&a.key));
        self.any = self.any.take().or(other.any);
        self.helped.extend(other.helped);
    }

    /// What to say to `host` about `repository`, best first, each once.
    pub fn lookup(&self, host: &str, repository: &str) -> Vec<Credentials> {
        let mut found: Vec<Credentials> = self.any.iter().cloned().collect();
        let mut add = |credentials: &Credentials| {
            if !found.contains(credentials) {
                found.push(credentials.clone());
            }
        };
        let target = format!("{host}/{repository}");
        for entry in &self.entries {
            if fits(&entry.key, &target) {
                add(&entry.credentials);
            }
        }
        if found.is_empty() && matches!(host, "docker.io" | "registry-1.docker.io") {
            let hub = self.entries.iter().filter(|entry| entry.key == HUB_KEY);
            found.extend(hub.map(|entry| entry.credentials.clone()));
        }
        found
    }
}

/// Docker leaves an empty entry where a credential helper holds the secret.
fn is_elsewhere(auth: &serde_json::Value) -> bool {
    auth.as_object().is_some_and(serde_json::Map::is_empty)
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, KeyringError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(KeyringError::TooLarge);
    }
    // serde's own words may quote the document.
    serde_json::from_slice(bytes).map_err(|error| KeyringError::Json {
        line: error.line(),
        column: error.column(),
    })
}

fn read_auth(auth: &Told) -> Option<Credentials> {
    if !auth.identitytoken.is_empty() {
        return Some(Credentials::Identity {
            token: auth.identitytoken.clone(),
        });
    }
    if !auth.registrytoken.is_empty() {
        return Some(Credentials::Bearer {
            token: auth.registrytoken.clone(),
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

/// `user:password` in base64, with or without padding.
pub(super) fn decode_auth(text: &str) -> Option<Credentials> {
    let text = text.trim().trim_end_matches('=');
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(text)
        .ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    let (username, password) = pair.split_once(':')?;
    if username.is_empty() && password.is_empty() {
        return None;
    }
    Some(Credentials::Login {
        username: username.to_owned(),
        // Docker pads some with zero bytes.
        password: password.trim_matches('\0').to_owned(),
    })
}

/// `https://index.docker.io/v1/`, `registry.example:5000` and `registry.example/team` without scheme and version.
fn key(server: &str) -> String {
    let bare = server
        .strip_prefix("https://")
        .or(server.strip_prefix("http://"))
        .unwrap_or(server);
    let (host, path) = match bare.find('/') {
        Some(at) => bare.split_at(at),
        None => (bare, ""),
    };
    let path = match path {
        "/v1" | "/v2" => "",
        _ => path
            .strip_prefix("/v1/")
            .or(path.strip_prefix("/v2/"))
            .map_or(path, |_| &path[3..]),
    };
    if path == "/" {
        host.to_owned()
    } else {
        format!("{host}{path}")
    }
}

/// Upstream's `URLsMatch`: as many host parts, each fitting its pattern; the same port; the path a prefix.
fn fits(key: &str, target: &str) -> bool {
    let split = |text: &str| -> (String, String, String) {
        let (host, path) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (host, ""),
        };
        (host.to_owned(), port.to_owned(), path.to_owned())
    };
    let (pattern, pattern_port, prefix) = split(key);
    let (host, port, path) = split(target);
    let patterns: Vec<&str> = pattern.split('.').collect();
    let parts: Vec<&str> = host.split('.').collect();
    pattern_port == port
        && patterns.len() == parts.len()
        && patterns
            .iter()
            .zip(&parts)
            .all(|(pattern, part)| glob::matches(pattern, part))
        && path.starts_with(&prefix)
}
