//! What a pod's volumes hold.
//! <https://kubernetes.io/docs/concepts/storage/volumes/>

use super::env::{config_map, secret};
use super::fields::{field, resource};
use super::{ConfigError, NodeFacts, Sources};
use crate::object::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume};
use std::collections::BTreeMap;

/// Mode of files where neither the item nor the volume says (upstream's default).
const FILE_MODE_DEFAULT: i32 = 0o644;

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub mode: u32,
}

/// How one volume comes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    EmptyDir,
    /// A tmpfs of its own.
    Memory {
        size_bytes: Option<u64>,
    },
    HostPath {
        path: String,
        kind: String,
    },
    /// Files by path below the volume; kept on tmpfs.
    Files {
        files: BTreeMap<String, File>,
    },
}

pub fn plan(
    pod: &Pod,
    volume: &Volume,
    sources: &Sources,
    node: &NodeFacts,
) -> Result<Plan, ConfigError> {
    if let Some(empty) = &volume.empty_dir {
        return match empty.medium.as_deref() {
            Some("Memory") => {
                let size = empty
                    .size_limit
                    .as_ref()
                    .map(|q| Quantity::parse(&q.0))
                    .transpose();
                let size = size
                    .map_err(ConfigError)?
                    .map(Quantity::value)
                    .filter(|v| *v > 0);
                Ok(Plan::Memory {
                    size_bytes: size.map(i64::unsigned_abs),
                })
            }
            None | Some("") => Ok(Plan::EmptyDir),
            Some(other) => Err(ConfigError(format!(
                "emptyDir medium {other:?} is not supported; leave it empty or use Memory"
            ))),
        };
    }
    if let Some(host) = &volume.host_path {
        return Ok(Plan::HostPath {
            path: host.path.clone(),
            kind: host.type_.clone().unwrap_or_default(),
        });
    }
    let mut files = BTreeMap::new();
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(FILE_MODE_DEFAULT);
        let optional = source.optional == Some(true);
        add_config_map(
            &mut files,
            sources,
            &source.name,
            source.items.as_deref(),
            optional,
            mode,
        )?;
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(FILE_MODE_DEFAULT);
        let optional = source.optional == Some(true);
        let name = source.secret_name.as_deref().unwrap_or_default();
        add_secret(
            &mut files,
            sources,
            name,
            source.items.as_deref(),
            optional,
            mode,
        )?;
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(FILE_MODE_DEFAULT);
        add_fields(
            &mut files,
            pod,
            source.items.as_deref().unwrap_or_default(),
            node,
            mode,
        )?;
    } else if let Some(source) = &volume.projected {
        let mode = source.default_mode.unwrap_or(FILE_MODE_DEFAULT);
        for part in source.sources.iter().flatten() {
            if let Some(map) = &part.config_map {
                let optional = map.optional == Some(true);
                add_config_map(
                    &mut files,
                    sources,
                    &map.name,
                    map.items.as_deref(),
                    optional,
                    mode,
                )?;
            } else if let Some(secret) = &part.secret {
                let optional = secret.optional == Some(true);
                add_secret(
                    &mut files,
                    sources,
                    &secret.name,
                    secret.items.as_deref(),
                    optional,
                    mode,
                )?;
            } else if let Some(fields) = &part.downward_api {
                add_fields(
                    &mut files,
                    pod,
                    fields.items.as_deref().unwrap_or_default(),
                    node,
                    mode,
                )?;
            } else {
                return Err(ConfigError(format!(
                    "volume {:?} projects a source this node does not support; use configMap, secret or downwardAPI",
                    volume.name
                )));
            }
        }
    } else {
        return Err(ConfigError(format!(
            "volume {:?} is of a type this node does not support; use emptyDir, hostPath, configMap, secret, downwardAPI or projected",
            volume.name
        )));
    }
    Ok(Plan::Files { files })
}

fn add_config_map(
    files: &mut BTreeMap<String, File>,
    sources: &Sources,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: i32,
) -> Result<(), ConfigError> {
    let Some(map) = config_map(sources, name, optional)? else {
        return Ok(());
    };
    let text = map.data.iter().flatten().map(|(k, v)| (k, v.as_bytes()));
    let binary = map
        .binary_data
        .iter()
        .flatten()
        .map(|(k, v)| (k, v.0.as_slice()));
    let data: BTreeMap<&str, &[u8]> = text.chain(binary).map(|(k, v)| (k.as_str(), v)).collect();
    add(files, &data, items, optional, mode, || {
        format!("configmap references non-existent config key in {name}")
    })
}

fn add_secret(
    files: &mut BTreeMap<String, File>,
    sources: &Sources,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: i32,
) -> Result<(), ConfigError> {
    let Some(secret) = secret(sources, name, optional)? else {
        return Ok(());
    };
    let data: BTreeMap<&str, &[u8]> = secret
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v.0.as_slice()))
        .collect();
    add(files, &data, items, optional, mode, || {
        format!("references non-existent secret key in {name}")
    })
}

fn add(
    files: &mut BTreeMap<String, File>,
    data: &BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: i32,
    missing: impl Fn() -> String,
) -> Result<(), ConfigError> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        for (key, bytes) in data {
            insert(files, key, bytes.to_vec(), mode)?;
        }
        return Ok(());
    };
    for item in items {
        match data.get(item.key.as_str()) {
            Some(bytes) => insert(files, &item.path, bytes.to_vec(), item.mode.unwrap_or(mode))?,
            None if optional => {}
            None => return Err(ConfigError(format!("{}: {}", missing(), item.key))),
        }
    }
    Ok(())
}

fn add_fields(
    files: &mut BTreeMap<String, File>,
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    node: &NodeFacts,
    mode: i32,
) -> Result<(), ConfigError> {
    for item in items {
        let text = if let Some(reference) = &item.field_ref {
            field(pod, &reference.field_path, node, "")?
        } else if let Some(reference) = &item.resource_field_ref {
            resource(pod, &Container::default(), reference, node)?
        } else {
            return Err(ConfigError(format!(
                "downwardAPI item {:?} names no field",
                item.path
            )));
        };
        insert(
            files,
            &item.path,
            text.into_bytes(),
            item.mode.unwrap_or(mode),
        )?;
    }
    Ok(())
}

/// Paths stay inside the volume: relative, without `..`, and not in the writer's own names.
fn insert(
    files: &mut BTreeMap<String, File>,
    path: &str,
    bytes: Vec<u8>,
    mode: i32,
) -> Result<(), ConfigError> {
    let bad = path.is_empty()
        || path.starts_with('/')
        || path.starts_with("..")
        || path.split('/').any(|part| part == ".." || part.is_empty());
    if bad {
        return Err(ConfigError(format!(
            "invalid path {path:?} in a volume: it must be relative and without '..'"
        )));
    }
    files.insert(
        path.to_string(),
        File {
            bytes,
            mode: mode.unsigned_abs() & 0o777,
        },
    );
    Ok(())
}

/// Names of the ConfigMaps and Secrets a pod mentions in volumes and environments.
pub fn mentioned(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let mut maps = Vec::new();
    let mut secrets = Vec::new();
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        maps.extend(volume.config_map.iter().map(|c| c.name.clone()));
        secrets.extend(volume.secret.iter().filter_map(|s| s.secret_name.clone()));
        for part in volume
            .projected
            .iter()
            .flat_map(|p| p.sources.iter().flatten())
        {
            maps.extend(part.config_map.iter().map(|c| c.name.clone()));
            secrets.extend(part.secret.iter().map(|s| s.name.clone()));
        }
    }
    for (_, container) in crate::kubelet::pod::state::containers(pod) {
        for from in container.env_from.iter().flatten() {
            maps.extend(from.config_map_ref.iter().map(|c| c.name.clone()));
            secrets.extend(from.secret_ref.iter().map(|s| s.name.clone()));
        }
        for source in container
            .env
            .iter()
            .flatten()
            .filter_map(|e| e.value_from.as_ref())
        {
            maps.extend(source.config_map_key_ref.iter().map(|c| c.name.clone()));
            secrets.extend(source.secret_key_ref.iter().map(|s| s.name.clone()));
        }
    }
    for list in [&mut maps, &mut secrets] {
        list.retain(|name| !name.is_empty());
        list.sort();
        list.dedup();
    }
    (maps, secrets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn made(volume: serde_json::Value) -> Result<Plan, ConfigError> {
        let sources = Sources {
            config_maps: BTreeMap::from([(
                "cm".to_string(),
                serde_json::from_value(
                    json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AP8="}}),
                )
                .unwrap(),
            )]),
            secrets: BTreeMap::from([(
                "sec".to_string(),
                serde_json::from_value(json!({"data": {"pw": "eA=="}})).unwrap(),
            )]),
            ..Sources::default()
        };
        let node = NodeFacts {
            name: "n".to_string(),
            ip: String::new(),
            cpu_milli: 1000,
            memory_bytes: 1,
            ephemeral_storage_bytes: 1,
        };
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "labels": {"x": "y"}}}))
                .unwrap();
        plan(
            &pod,
            &serde_json::from_value(volume).unwrap(),
            &sources,
            &node,
        )
    }

    fn listing(plan: Plan) -> Vec<(String, Vec<u8>, u32)> {
        match plan {
            Plan::Files { files } => files
                .into_iter()
                .map(|(p, f)| (p, f.bytes, f.mode))
                .collect(),
            other => panic!("not files: {other:?}"),
        }
    }

    #[test]
    fn keys_items_and_modes() {
        let all = listing(
            made(json!({"name": "v", "configMap": {"name": "cm", "defaultMode": 0o400}})).unwrap(),
        );
        assert_eq!(
            all,
            [
                ("a".into(), b"1".to_vec(), 0o400),
                ("b".into(), b"2".to_vec(), 0o400),
                ("c".into(), vec![0, 255], 0o400)
            ]
        );
        let items = json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": "d/x", "mode": 0o600}]}});
        assert_eq!(
            listing(made(items).unwrap()),
            [("d/x".into(), b"1".to_vec(), 0o600)]
        );
        let projected = json!({"name": "v", "projected": {"sources": [
            {"secret": {"name": "sec"}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}});
        assert_eq!(
            listing(made(projected).unwrap()),
            [
                ("labels".into(), b"x=\"y\"".to_vec(), 0o644),
                ("pw".into(), b"x".to_vec(), 0o644)
            ]
        );
    }

    #[test]
    fn what_is_missing_or_wrong() {
        for (volume, text) in [
            (
                json!({"name": "v", "configMap": {"name": "no"}}),
                "configmap \"no\" not found",
            ),
            (
                json!({"name": "v", "secret": {"secretName": "no"}}),
                "secret \"no\" not found",
            ),
            (
                json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
                "non-existent config key",
            ),
            (
                json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "a", "path": "../z"}]}}),
                "invalid path",
            ),
            (
                json!({"name": "v", "nfs": {"server": "s", "path": "/"}}),
                "does not support",
            ),
        ] {
            assert!(
                made(volume.clone()).unwrap_err().0.contains(text),
                "{volume}"
            );
        }
        let optional = json!({"name": "v", "secret": {"secretName": "no", "optional": true}});
        assert!(listing(made(optional).unwrap()).is_empty());
    }
}
