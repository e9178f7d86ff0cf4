//! What `set` does to an object. Pure.

use crate::cli::create::quantities;
use crate::cli::write_args::parse_labels;
use crate::object::access::{list, text};
use anyhow::Context;
use serde_json::{Map, Value, json};

#[derive(Debug)]
pub enum Change {
    /// Container, `*` for all, and image.
    Images(Vec<(String, String)>),
    Environment {
        containers: String,
        set: Vec<(String, String)>,
        remove: Vec<String>,
        overwrite: bool,
    },
    Resources {
        containers: String,
        limits: Map<String, Value>,
        requests: Map<String, Value>,
    },
    ServiceAccount(String),
    Selector(Value),
    Subjects(Vec<Value>),
}

pub fn images(pairs: &[String]) -> Result<Change, anyhow::Error> {
    anyhow::ensure!(!pairs.is_empty(), "at least one image update is required");
    let images = pairs
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .map(|(name, image)| (name.to_owned(), image.to_owned()))
                .with_context(|| format!("expected container=image, not {pair}"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(
        images.len() == 1 || images.iter().all(|(name, _)| name != "*"),
        "all containers are already specified by *, but saw more than one container_name=container_image pairs"
    );
    Ok(Change::Images(images))
}

pub fn environment(
    containers: &str,
    pairs: &[String],
    overwrite: bool,
) -> Result<Change, anyhow::Error> {
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for pair in pairs {
        match (pair.split_once('='), pair.strip_suffix('-')) {
            (Some((name, value)), _) if !name.is_empty() => {
                set.push((name.to_owned(), value.to_owned()));
            }
            (None, Some(name)) if !name.is_empty() => remove.push(name.to_owned()),
            _ => anyhow::bail!("environment variables must be of the form key=value, not {pair}"),
        }
    }
    Ok(Change::Environment {
        containers: containers.to_owned(),
        set,
        remove,
        overwrite,
    })
}

pub fn resources(containers: &str, limits: &str, requests: &str) -> Result<Change, anyhow::Error> {
    anyhow::ensure!(
        !(limits.is_empty() && requests.is_empty()),
        "you must specify an update to requests or limits (in the form of --requests/--limits)"
    );
    Ok(Change::Resources {
        containers: containers.to_owned(),
        limits: quantities(limits)?,
        requests: quantities(requests)?,
    })
}

pub fn selector(pairs: &[String]) -> Result<Change, anyhow::Error> {
    anyhow::ensure!(!pairs.is_empty(), "one selector is required");
    Ok(Change::Selector(parse_labels(&pairs.join(","))?))
}

/// Where a kind has its pod's spec.
fn pod_spec(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Deployment"
        | "ReplicaSet"
        | "StatefulSet"
        | "DaemonSet"
        | "Job"
        | "ReplicationController" => "/spec/template/spec",
        _ => return None,
    })
}

/// `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|end| fits(rest, end)))
        }),
    }
}

/// Containers and init containers whose name fits.
fn each_container(
    spec: &mut Value,
    pattern: &str,
    mut change: impl FnMut(&mut Value) -> Result<(), anyhow::Error>,
) -> Result<bool, anyhow::Error> {
    let mut found = false;
    for field in ["containers", "initContainers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if fits(pattern, text(container, "/name")) {
                found = true;
                change(container)?;
            }
        }
    }
    Ok(found)
}

impl Change {
    pub fn apply(&self, object: &mut Value) -> Result<(), anyhow::Error> {
        let kind = text(object, "/kind").to_owned();
        match self {
            Change::Selector(selector) => {
                anyhow::ensure!(
                    kind == "Service",
                    "setting a selector is only supported for Services"
                );
                object["spec"]["selector"] = selector.clone();
                return Ok(());
            }
            Change::Subjects(subjects) => {
                anyhow::ensure!(
                    matches!(kind.as_str(), "RoleBinding" | "ClusterRoleBinding"),
                    "setting subjects is only supported for RoleBinding/ClusterRoleBinding"
                );
                let mut all = list(object, "/subjects").to_vec();
                for subject in subjects {
                    if !all.contains(subject) {
                        all.push(subject.clone());
                    }
                }
                object["subjects"] = Value::Array(all);
                return Ok(());
            }
            _ => {}
        }
        let spec = pod_spec(&kind)
            .and_then(|pointer| object.pointer_mut(pointer))
            .with_context(|| {
                format!("the object is not a pod or does not have a pod template: {kind}")
            })?;
        self.apply_to_spec(spec)
    }

    fn apply_to_spec(&self, spec: &mut Value) -> Result<(), anyhow::Error> {
        match self {
            Change::Images(images) => {
                for (name, image) in images {
                    let found = each_container(spec, name, |container| {
                        container["image"] = json!(image);
                        Ok(())
                    })?;
                    anyhow::ensure!(found, "unable to find container named \"{name}\"");
                }
            }
            Change::Environment {
                containers,
                set,
                remove,
                overwrite,
            } => {
                let found = each_container(spec, containers, |container| {
                    let env = updated(list(container, "/env"), set, remove, *overwrite)?;
                    if env.is_empty() {
                        container.as_object_mut().map(|fields| fields.remove("env"));
                    } else {
                        container["env"] = Value::Array(env);
                    }
                    Ok(())
                })?;
                if !found {
                    eprintln!(
                        "Warning: the object does not have any containers matching \"{containers}\""
                    );
                }
            }
            Change::Resources {
                containers,
                limits,
                requests,
            } => {
                let found = each_container(spec, containers, |container| {
                    for (field, amounts) in [("limits", limits), ("requests", requests)] {
                        for (name, amount) in amounts {
                            container["resources"][field][name] = amount.clone();
                        }
                    }
                    Ok(())
                })?;
                anyhow::ensure!(found, "unable to find container named {containers}");
            }
            Change::ServiceAccount(name) => {
                spec["serviceAccountName"] = json!(name);
                // The old name of the field; the server keeps the two alike.
                if !spec["serviceAccount"].is_null() {
                    spec["serviceAccount"] = json!(name);
                }
            }
            Change::Selector(_) | Change::Subjects(_) => {}
        }
        Ok(())
    }
}

/// Variables that are there stay in their place; removal comes before setting.
fn updated(
    existing: &[Value],
    set: &[(String, String)],
    remove: &[String],
    overwrite: bool,
) -> Result<Vec<Value>, anyhow::Error> {
    let variable = |(name, value): &(String, String)| json!({"name": name, "value": value});
    let mut env: Vec<Value> = Vec::new();
    for old in existing {
        let name = text(old, "/name");
        if remove.iter().any(|removed| removed == name) {
            continue;
        }
        match set.iter().find(|(new, _)| new == name) {
            Some(_) if !overwrite => {
                anyhow::bail!(
                    "'{name}' already has a value ({}), and --overwrite is false",
                    text(old, "/value")
                )
            }
            Some(new) => env.push(variable(new)),
            None => env.push(old.clone()),
        }
    }
    for new in set {
        let known = env.iter().any(|old| text(old, "/name") == new.0);
        if !known && !remove.contains(&new.0) {
            env.push(variable(new));
        }
    }
    Ok(env)
}

/// `set env --list`
pub fn listed(object: &Value) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let kind = text(object, "/kind");
    let Some(spec) = pod_spec(kind).and_then(|pointer| object.pointer(pointer)) else {
        return out;
    };
    for container in list(spec, "/containers")
        .iter()
        .chain(list(spec, "/initContainers"))
    {
        let name = text(object, "/metadata/name");
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "# {kind} {name}, container {}",
            text(container, "/name")
        );
        for variable in list(container, "/env") {
            let name = text(variable, "/name");
            let _ = match variable.get("valueFrom") {
                None => writeln!(out, "{name}={}", text(variable, "/value")),
                Some(from) => writeln!(out, "# {name} from {from}"),
            };
        }
    }
    out
}

/// Only what `set` touches, and only while nobody else has changed the object.
pub fn patch(before: &Value, after: &Value) -> Value {
    let mut operations = Vec::new();
    if let Some(version) = before["metadata"]["resourceVersion"].as_str() {
        operations
            .push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
    }
    for field in ["spec", "subjects"] {
        if before.get(field) != after.get(field) {
            operations
                .push(json!({"op": "add", "path": format!("/{field}"), "value": after[field]}));
        }
    }
    Value::Array(operations)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn deployment() -> Value {
        json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": "a"}, {"name": "side", "image": "b", "env": [{"name": "A", "value": "b"}]}
        ]}}}})
    }

    #[test]
    fn templates_change() {
        let mut object = deployment();
        images(&words("main=c"))
            .unwrap()
            .apply(&mut object)
            .unwrap();
        environment("si*", &words("A- C=d"), true)
            .unwrap()
            .apply(&mut object)
            .unwrap();
        resources("*", "cpu=1", "")
            .unwrap()
            .apply(&mut object)
            .unwrap();
        Change::ServiceAccount("sa".to_owned())
            .apply(&mut object)
            .unwrap();
        assert_eq!(
            object["spec"]["template"]["spec"],
            json!({"serviceAccountName": "sa", "containers": [
                {"name": "main", "image": "c", "resources": {"limits": {"cpu": "1"}}},
                {"name": "side", "image": "b", "env": [{"name": "C", "value": "d"}], "resources": {"limits": {"cpu": "1"}}},
            ]})
        );
        assert_eq!(listed(&deployment()).lines().last(), Some("A=b"));
    }

    #[test]
    fn mistakes_are_told() {
        let mut object = deployment();
        assert!(
            images(&words("nobody=c"))
                .unwrap()
                .apply(&mut object)
                .is_err()
        );
        assert!(images(&words("*=a b=c")).is_err());
        assert!(
            environment("*", &words("A=c"), false)
                .unwrap()
                .apply(&mut object)
                .is_err()
        );
        assert!(environment("*", &words("A"), true).is_err());
        assert!(resources("*", "", "").is_err());
        assert!(selector(&words("a=b")).unwrap().apply(&mut object).is_err());
        assert!(
            Change::ServiceAccount("a".to_owned())
                .apply(&mut json!({"kind": "Service"}))
                .is_err()
        );
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a", "ab", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
