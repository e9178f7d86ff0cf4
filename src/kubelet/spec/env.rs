//! A container's environment.
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/>

use super::fields::{field, resource};
use super::{ConfigError, NodeFacts, Sources};
use crate::image::ImageConfig;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVarSource, FileKeySelector, Pod, Secret,
};
use std::collections::BTreeMap;

/// Search path where the image sets none; what container runtimes give.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the environment of one container is made from.
pub struct Inputs<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub image: &'a ImageConfig,
    pub sources: &'a Sources,
    pub node: &'a NodeFacts,
    pub hostname: &'a str,
    pub pod_ip: &'a str,
    /// Variables that tell of services; whatever the pod sets wins.
    pub services: &'a [(String, String)],
}

/// The variables by name: the image's, services', then `envFrom`, then `env`, later ones winning. The second map holds
/// them without the image's: `$(NAME)` in values and commands refers to these, a pod's own before a service's.
pub fn environment(
    inputs: &Inputs,
) -> Result<(Vec<String>, BTreeMap<String, String>), ConfigError> {
    let mut order: Vec<String> = Vec::new();
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        if all.insert(name.to_string(), value).is_none() {
            order.push(name.to_string());
        }
    };
    set("PATH", PATH_DEFAULT.to_string());
    set("HOSTNAME", inputs.hostname.to_string());
    if inputs.container.tty == Some(true) {
        set("TERM", "xterm".to_string());
    }
    for variable in &inputs.image.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set(name, value.to_string());
    }
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in inputs.services {
        own.insert(name.clone(), value.clone());
        set(name, value.clone());
    }
    for (name, value) in env_from(inputs)? {
        own.insert(name.clone(), value.clone());
        set(&name, value);
    }
    for variable in inputs.container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (_, Some(source)) => match value_from(inputs, source)? {
                Some(value) => value,
                None => continue,
            },
            (value, None) => expand(value.as_deref().unwrap_or_default(), &own),
        };
        own.insert(variable.name.clone(), value.clone());
        set(&variable.name, value);
    }
    let list = order
        .iter()
        .map(|name| format!("{name}={}", all[name]))
        .collect();
    Ok((list, own))
}

fn env_from(inputs: &Inputs) -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for source in inputs.container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            let optional = reference.optional == Some(true);
            if let Some(map) = config_map(inputs.sources, &reference.name, optional)? {
                for (key, value) in map.data.iter().flatten() {
                    variables.push((format!("{prefix}{key}"), value.clone()));
                }
            }
        }
        if let Some(reference) = &source.secret_ref {
            let optional = reference.optional == Some(true);
            if let Some(secret) = secret(inputs.sources, &reference.name, optional)? {
                for (key, value) in secret.data.iter().flatten() {
                    let value = String::from_utf8_lossy(&value.0).into_owned();
                    variables.push((format!("{prefix}{key}"), value));
                }
            }
        }
    }
    Ok(variables)
}

/// `None`: an optional source that is not there.
fn value_from(inputs: &Inputs, source: &EnvVarSource) -> Result<Option<String>, ConfigError> {
    let namespace = inputs.pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(reference) = &source.field_ref {
        return field(
            inputs.pod,
            &reference.field_path,
            inputs.node,
            inputs.pod_ip,
        )
        .map(Some);
    }
    if let Some(reference) = &source.resource_field_ref {
        return resource(inputs.pod, inputs.container, reference, inputs.node).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = config_map(inputs.sources, &reference.name, optional)? else {
            return Ok(None);
        };
        let value = map.data.as_ref().and_then(|d| d.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(ConfigError(format!(
                "couldn't find key {} in ConfigMap {namespace}/{}",
                reference.key, reference.name
            ))),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = secret(inputs.sources, &reference.name, optional)? else {
            return Ok(None);
        };
        let value = secret.data.as_ref().and_then(|d| d.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(ConfigError(format!(
                "couldn't find key {} in Secret {namespace}/{}",
                reference.key, reference.name
            ))),
        };
    }
    if let Some(reference) = &source.file_key_ref {
        return from_file(inputs, reference);
    }
    Err(ConfigError(
        "an environment variable's valueFrom has no source this node knows; use fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef or fileKeyRef"
            .to_string(),
    ))
}

fn from_file(inputs: &Inputs, reference: &FileKeySelector) -> Result<Option<String>, ConfigError> {
    let optional = reference.optional == Some(true);
    let (volume, path, key) = (&reference.volume_name, &reference.path, &reference.key);
    let file = (volume.clone(), path.clone());
    let Some(text) = inputs.sources.env_files.get(&file) else {
        if optional {
            return Ok(None);
        }
        return Err(ConfigError(format!(
            "file {path:?} not found in volume {volume:?}"
        )));
    };
    let mut variables = super::env_file::parse(text)
        .map_err(|why| ConfigError(format!("file {path:?} of volume {volume:?}: {why}")))?;
    match variables.remove(key) {
        None if !optional => Err(ConfigError(format!(
            "environment variable key {key:?} not found in file {path:?} of volume {volume:?}"
        ))),
        value => Ok(value),
    }
}

pub fn config_map<'a>(
    sources: &'a Sources,
    name: &str,
    optional: bool,
) -> Result<Option<&'a ConfigMap>, ConfigError> {
    match sources.config_maps.get(name) {
        None if !optional => Err(ConfigError(format!("configmap \"{name}\" not found"))),
        found => Ok(found),
    }
}

pub fn secret<'a>(
    sources: &'a Sources,
    name: &str,
    optional: bool,
) -> Result<Option<&'a Secret>, ConfigError> {
    match sources.secrets.get(name) {
        None if !optional => Err(ConfigError(format!("secret \"{name}\" not found"))),
        found => Ok(found),
    }
}

/// Replaces `$(NAME)` by the variable's value. An unknown name stays as it is; `$$` is a literal `$`.
pub fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('(')
            && let Some(end) = tail.find(')')
        {
            let name = &tail[..end];
            if let Some(value) = variables.get(name) {
                out.push_str(value);
            } else {
                out.push_str("$(");
                out.push_str(name);
                out.push(')');
            }
            rest = &tail[end + 1..];
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn expansion_as_upstream() {
        let variables = BTreeMap::from([
            ("A".to_string(), "1".to_string()),
            ("EMPTY".to_string(), String::new()),
        ]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(B)", "$(B)"),
            ("$(EMPTY)", ""),
            ("$(A", "$(A"),
            ("$", "$"),
            ("$A", "$A"),
            ("$$", "$"),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }

    fn built(container: serde_json::Value, sources: &Sources) -> Result<Vec<String>, ConfigError> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "web"}},
            "spec": {"containers": []}
        }))
        .unwrap();
        let container: Container = serde_json::from_value(container).unwrap();
        let image = ImageConfig {
            env: vec!["PATH=/bin".to_string(), "FROM=image".to_string()],
            ..ImageConfig::default()
        };
        let node = NodeFacts {
            name: "node".to_string(),
            ip: "10.0.0.1".to_string(),
            cpu_milli: 4000,
            memory_bytes: 1 << 30,
            ephemeral_storage_bytes: 1 << 33,
        };
        environment(&Inputs {
            pod: &pod,
            container: &container,
            image: &image,
            sources,
            node: &node,
            hostname: "p",
            pod_ip: "10.42.0.9",
            services: &[
                ("K_SERVICE_HOST".to_string(), "10.43.0.1".to_string()),
                ("P_k".to_string(), "hidden".to_string()),
            ],
        })
        .map(|(list, _)| list)
    }

    fn sources() -> Sources {
        let map: ConfigMap =
            serde_json::from_value(json!({"data": {"k": "v", "FROM": "map"}})).unwrap();
        let secret: Secret = serde_json::from_value(json!({"data": {"s": "c2VjcmV0"}})).unwrap();
        Sources {
            config_maps: BTreeMap::from([("cm".to_string(), map)]),
            secrets: BTreeMap::from([("sec".to_string(), secret)]),
            env_files: BTreeMap::from([(
                ("vol".to_string(), "f".to_string()),
                "A='1'\n".to_string(),
            )]),
        }
    }

    #[test]
    fn later_sources_win_and_refer_to_earlier_ones() {
        let list = built(
            json!({"name": "c",
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"configMapRef": {"name": "cm"}}],
                "env": [
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "URL", "value": "http://$(IP)/$(P_k)@$(K_SERVICE_HOST)"},
                    {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "s"}}},
                    {"name": "FILE", "valueFrom": {"fileKeyRef": {"volumeName": "vol", "path": "f", "key": "A"}}},
                    {"name": "NO_FILE", "valueFrom": {"fileKeyRef": {"volumeName": "vol", "path": "g", "key": "A", "optional": true}}},
                    {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "s", "optional": true}}}
                ]}),
            &sources(),
        )
        .unwrap();
        assert_eq!(
            list,
            [
                "PATH=/bin",
                "HOSTNAME=p",
                "FROM=map",
                "K_SERVICE_HOST=10.43.0.1",
                "P_k=v",
                "P_FROM=map",
                "k=v",
                "IP=10.42.0.9",
                "URL=http://10.42.0.9/v@10.43.0.1",
                "PW=secret",
                "FILE=1"
            ]
        );
    }

    #[test]
    fn what_is_missing_has_upstreams_wording() {
        for (env, expected) in [
            (
                json!({"configMapKeyRef": {"name": "x", "key": "k"}}),
                "configmap \"x\" not found",
            ),
            (
                json!({"configMapKeyRef": {"name": "cm", "key": "z"}}),
                "couldn't find key z in ConfigMap n/cm",
            ),
            (
                json!({"fileKeyRef": {"volumeName": "vol", "path": "f", "key": "B"}}),
                "environment variable key \"B\" not found in file \"f\" of volume \"vol\"",
            ),
            (
                json!({"fileKeyRef": {"volumeName": "vol", "path": "g", "key": "B"}}),
                "file \"g\" not found in volume \"vol\"",
            ),
            (
                json!({"secretKeyRef": {"name": "x", "key": "k"}}),
                "secret \"x\" not found",
            ),
            (
                json!({"secretKeyRef": {"name": "sec", "key": "z"}}),
                "couldn't find key z in Secret n/sec",
            ),
        ] {
            let container = json!({"name": "c", "env": [{"name": "V", "valueFrom": env}]});
            assert_eq!(built(container, &sources()).unwrap_err().0, expected);
        }
    }
}
