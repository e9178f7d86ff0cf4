//! Volumes of files: configMap, secret, downwardAPI, and projected ones that gather several.

use super::{ConfigError, File, Found};
use crate::kubelet::pod::state::containers;
use crate::kubelet::spec::env::{config_map, secret};
use crate::kubelet::spec::fields::{field, resource};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, Secret,
    ServiceAccountTokenProjection, Volume,
};
use std::collections::BTreeMap;

/// Mode of files where neither the item nor the volume says (upstream's default).
const FILE_MODE_DEFAULT: i32 = 0o644;
/// Mode of a token where somebody in particular is to read it (upstream's projected plugin).
const TOKEN_MODE: i32 = 0o600;
/// Life of a token where the volume does not say (upstream's default).
const TOKEN_SECONDS_DEFAULT: i64 = 3600;

/// A token of a volume: the volume's name and the place among its sources.
pub type TokenKey = (String, usize);

/// A token that a volume needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWish {
    pub key: TokenKey,
    /// Empty: the API server's own.
    pub audience: String,
    pub expiration_seconds: i64,
}

/// The tokens of all of a pod's volumes.
pub fn token_wishes(pod: &Pod) -> Vec<TokenWish> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let mut wishes = Vec::new();
    for volume in volumes {
        let parts = volume
            .projected
            .iter()
            .flat_map(|p| p.sources.iter().flatten());
        for (number, part) in parts.enumerate() {
            if let Some(token) = &part.service_account_token {
                wishes.push(TokenWish {
                    key: (volume.name.clone(), number),
                    audience: token.audience.clone().unwrap_or_default(),
                    expiration_seconds: token.expiration_seconds.unwrap_or(TOKEN_SECONDS_DEFAULT),
                });
            }
        }
    }
    wishes
}

/// The one user all containers run as, if there is one (upstream's `FsUserFrom`).
fn file_user(pod: &Pod) -> Option<i64> {
    let of_pod = pod
        .spec
        .as_ref()?
        .security_context
        .as_ref()
        .and_then(|c| c.run_as_user);
    let mut users = containers(pod).map(|(_, c)| {
        let own = c.security_context.as_ref().and_then(|s| s.run_as_user);
        own.or(of_pod)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}

/// Mode and owner of files that do not say.
#[derive(Debug, Clone, Copy)]
struct Usual {
    mode: i32,
    user: Option<i64>,
}

impl Usual {
    fn new(mode: Option<i32>, user: Option<i64>) -> Usual {
        Usual {
            mode: mode.unwrap_or(FILE_MODE_DEFAULT),
            user,
        }
    }
}

/// `None`: the volume is of another type.
pub fn plan(
    pod: &Pod,
    volume: &Volume,
    found: &Found,
) -> Result<Option<BTreeMap<String, File>>, ConfigError> {
    let mut files = Files::default();
    if let Some(source) = &volume.config_map {
        let usual = Usual::new(source.default_mode, source.default_user);
        let optional = source.optional == Some(true);
        if let Some(map) = config_map(found.sources, &source.name, optional)? {
            let items = source.items.as_deref();
            files.add(
                &map_data(map),
                items,
                optional,
                usual,
                &missing_key(&source.name),
            )?;
        }
    } else if let Some(source) = &volume.secret {
        let usual = Usual::new(source.default_mode, source.default_user);
        let optional = source.optional == Some(true);
        let name = source.secret_name.as_deref().unwrap_or_default();
        if let Some(secret) = secret(found.sources, name, optional)? {
            let items = source.items.as_deref();
            files.add(
                &secret_data(secret),
                items,
                optional,
                usual,
                &missing_secret_key(name),
            )?;
        }
    } else if let Some(source) = &volume.downward_api {
        let usual = Usual::new(source.default_mode, source.default_user);
        let items = source.items.as_deref().unwrap_or_default();
        files.add_fields(pod, items, found, usual)?;
    } else if let Some(source) = &volume.projected {
        let usual = Usual::new(source.default_mode, source.default_user);
        for (number, part) in source.sources.iter().flatten().enumerate() {
            if let Some(source) = &part.config_map {
                let optional = source.optional == Some(true);
                if let Some(map) = config_map(found.sources, &source.name, optional)? {
                    let items = source.items.as_deref();
                    files.add(
                        &map_data(map),
                        items,
                        optional,
                        usual,
                        &missing_key(&source.name),
                    )?;
                }
            } else if let Some(source) = &part.secret {
                let optional = source.optional == Some(true);
                if let Some(secret) = secret(found.sources, &source.name, optional)? {
                    let items = source.items.as_deref();
                    let missing = missing_secret_key(&source.name);
                    files.add(&secret_data(secret), items, optional, usual, &missing)?;
                }
            } else if let Some(source) = &part.downward_api {
                let items = source.items.as_deref().unwrap_or_default();
                files.add_fields(pod, items, found, usual)?;
            } else if let Some(source) = &part.service_account_token {
                let token = found
                    .tokens
                    .get(&(volume.name.clone(), number))
                    .ok_or_else(|| ConfigError("failed to fetch token".to_string()))?;
                files.add_token(pod, source, token, usual)?;
            } else {
                return Err(ConfigError(format!(
                    "volume {:?} projects a source this node does not support; use configMap, secret, downwardAPI or serviceAccountToken",
                    volume.name
                )));
            }
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files.0))
}

fn map_data(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v.as_bytes()));
    let binary = map.binary_data.iter().flatten();
    text.chain(binary.map(|(k, v)| (k.as_str(), v.0.as_slice())))
        .collect()
}

fn secret_data(secret: &Secret) -> BTreeMap<&str, &[u8]> {
    let data = secret.data.iter().flatten();
    data.map(|(k, v)| (k.as_str(), v.0.as_slice())).collect()
}

fn missing_key(name: &str) -> String {
    format!("configmap references non-existent config key in {name}")
}

fn missing_secret_key(name: &str) -> String {
    format!("references non-existent secret key in {name}")
}

#[derive(Default)]
struct Files(BTreeMap<String, File>);

impl Files {
    fn add(
        &mut self,
        data: &BTreeMap<&str, &[u8]>,
        items: Option<&[KeyToPath]>,
        optional: bool,
        usual: Usual,
        missing: &str,
    ) -> Result<(), ConfigError> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, bytes) in data {
                self.insert(key, bytes.to_vec(), usual)?;
            }
            return Ok(());
        };
        for item in items {
            match data.get(item.key.as_str()) {
                Some(bytes) => {
                    let own = Usual {
                        mode: item.mode.unwrap_or(usual.mode),
                        user: item.user.or(usual.user),
                    };
                    self.insert(&item.path, bytes.to_vec(), own)?;
                }
                None if optional => {}
                None => return Err(ConfigError(format!("{missing}: {}", item.key))),
            }
        }
        Ok(())
    }

    fn add_fields(
        &mut self,
        pod: &Pod,
        items: &[DownwardAPIVolumeFile],
        found: &Found,
        usual: Usual,
    ) -> Result<(), ConfigError> {
        for item in items {
            let text = if let Some(reference) = &item.field_ref {
                field(pod, &reference.field_path, found.node, "")?
            } else if let Some(reference) = &item.resource_field_ref {
                resource(pod, &Container::default(), reference, found.node)?
            } else {
                return Err(ConfigError(format!(
                    "downwardAPI item {:?} names no field",
                    item.path
                )));
            };
            let own = Usual {
                mode: item.mode.unwrap_or(usual.mode),
                user: item.user.or(usual.user),
            };
            self.insert(&item.path, text.into_bytes(), own)?;
        }
        Ok(())
    }

    fn add_token(
        &mut self,
        pod: &Pod,
        source: &ServiceAccountTokenProjection,
        token: &str,
        usual: Usual,
    ) -> Result<(), ConfigError> {
        let user = source.user.or(usual.user).or(file_user(pod));
        let group = pod
            .spec
            .as_ref()
            .and_then(|s| s.security_context.as_ref())
            .and_then(|c| c.fs_group);
        let own = Usual {
            mode: if user.is_some() || group.is_some() {
                TOKEN_MODE
            } else {
                usual.mode
            },
            user,
        };
        self.insert(&source.path, token.as_bytes().to_vec(), own)
    }

    /// Paths stay inside the volume: relative, without `..`, and not in the writer's own names.
    fn insert(&mut self, path: &str, bytes: Vec<u8>, own: Usual) -> Result<(), ConfigError> {
        let bad = path.is_empty()
            || path.starts_with('/')
            || path.starts_with("..")
            || path.split('/').any(|part| part == ".." || part.is_empty());
        if bad {
            return Err(ConfigError(format!(
                "invalid path {path:?} in a volume: it must be relative and without '..'"
            )));
        }
        let user = match own.user.map(u32::try_from) {
            None => None,
            Some(Ok(user)) => Some(user),
            Some(Err(_)) => {
                return Err(ConfigError(format!(
                    "{path:?} in a volume: its user is no user id"
                )));
            }
        };
        let file = File {
            bytes,
            mode: own.mode.unsigned_abs() & 0o777,
            user,
        };
        self.0.insert(path.to_string(), file);
        Ok(())
    }
}
