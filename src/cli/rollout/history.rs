//! Revisions: a Deployment's `ReplicaSet`s, the others' `ControllerRevision`s; the way back to one.

use crate::cli::connect::{Session, get, items};
use crate::cli::print::document;
use crate::cli::selection::Chosen;
use crate::client::{PatchType, object_path, read_value};
use crate::object::access::{integer, list, map, text};
use serde_json::{Map, Value, json};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const HASH_LABEL: &str = "pod-template-hash";

/// Annotations of a Deployment that stay its own whatever revision it goes back to.
const OWN_ANNOTATIONS: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// One of a workload's templates.
#[derive(Debug)]
pub struct Revision {
    pub number: i64,
    pub cause: String,
    pub template: Value,
    pub object: Value,
}

/// The number in a Deployment's or `ReplicaSet`'s annotation.
pub fn revision_of(object: &Value) -> Option<i64> {
    map(object, "/metadata/annotations")
        .get(REVISION)?
        .as_str()?
        .parse()
        .ok()
}

/// All revisions, the oldest first.
pub async fn fetch(session: &Session, chosen: &Chosen) -> Result<Vec<Revision>, anyhow::Error> {
    let deployment = chosen.resource.kind == "Deployment";
    let plural = if deployment {
        "replicasets"
    } else {
        "controllerrevisions"
    };
    let namespace = Some(chosen.namespace.as_str());
    let path = object_path("apps", "v1", plural, namespace, None, None);
    let answer = read_value(get(&session.client, &path, &[], "application/json").await?).await?;
    let uid = text(&chosen.object, "/metadata/uid");
    let kind = if deployment {
        "ReplicaSet"
    } else {
        "ControllerRevision"
    };
    let mut revisions: Vec<Revision> = items(answer)
        .into_iter()
        .filter(|object| {
            list(object, "/metadata/ownerReferences")
                .iter()
                .any(|owner| text(owner, "/uid") == uid && owner["controller"] == true)
        })
        .filter_map(|mut object| {
            object["apiVersion"] = json!("apps/v1");
            object["kind"] = json!(kind);
            revision(object, deployment)
        })
        .collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}

fn revision(object: Value, deployment: bool) -> Option<Revision> {
    let (number, mut template) = if deployment {
        (revision_of(&object)?, object["spec"]["template"].clone())
    } else {
        let template = object["data"]["spec"]["template"].clone();
        (integer(&object, "/revision"), template)
    };
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    let cause = map(&object, "/metadata/annotations")
        .get(CHANGE_CAUSE)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    Some(Revision {
        number,
        cause,
        template,
        object,
    })
}

/// The revision of this number, or all with 0.
pub fn chosen(revisions: &[Revision], number: i64) -> Result<Vec<&Revision>, anyhow::Error> {
    let found: Vec<&Revision> = revisions
        .iter()
        .filter(|revision| number == 0 || revision.number == number)
        .collect();
    anyhow::ensure!(
        number == 0 || !found.is_empty(),
        "unable to find the specified revision"
    );
    Ok(found)
}

/// Where to go back to: the revision of this number, with 0 the last but one.
pub fn target(revisions: &[Revision], number: i64) -> Result<&Revision, anyhow::Error> {
    if number == 0 {
        return revisions
            .iter()
            .rev()
            .nth(1)
            .ok_or_else(|| anyhow::anyhow!("no last revision to roll back to"));
    }
    revisions
        .iter()
        .find(|revision| revision.number == number)
        .ok_or_else(|| anyhow::anyhow!("unable to find specified revision {number} in history"))
}

pub fn table(revisions: &[Revision]) -> String {
    use std::fmt::Write;
    if revisions.is_empty() {
        return "No rollout history found.".to_owned();
    }
    let mut text = "REVISION  CHANGE-CAUSE\n".to_owned();
    for revision in revisions {
        let cause = match revision.cause.as_str() {
            "" => "<none>",
            cause => cause,
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<10}{cause}", revision.number);
    }
    text
}

/// A pod template, to be read by people.
pub fn template_text(template: &Value) -> Result<String, anyhow::Error> {
    let yaml = document::yaml(&without_hash(template))?;
    let mut text = "Pod Template:\n".to_owned();
    for line in yaml.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(HASH_LABEL);
    }
    // Written as null by some, left out by others.
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    template
}

pub fn same_template(one: &Value, other: &Value) -> bool {
    without_hash(one) == without_hash(other)
}

/// The patch that brings a workload back. A Deployment takes the revision's annotations too, its own stay.
pub fn rollback(chosen: &Chosen, target: &Revision) -> (PatchType, Value) {
    if chosen.resource.kind != "Deployment" {
        return (PatchType::StrategicMerge, target.object["data"].clone());
    }
    let own = |name: &str| OWN_ANNOTATIONS.contains(&name);
    let part = |object: &Value, keep: &dyn Fn(&str) -> bool| -> Map<String, Value> {
        map(object, "/metadata/annotations")
            .iter()
            .filter(|(name, _)| keep(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let mut annotations = part(&chosen.object, &own);
    annotations.extend(part(&target.object, &|name| !own(name)));
    let patch = json!([
        {"op": "replace", "path": "/spec/template", "value": without_hash(&target.template)},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]);
    (PatchType::Json, patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revisions(numbers: &[i64]) -> Vec<Revision> {
        numbers
            .iter()
            .map(|number| Revision {
                number: *number,
                cause: String::new(),
                template: json!({}),
                object: json!({}),
            })
            .collect()
    }

    #[test]
    fn targets() {
        let all = revisions(&[1, 3, 4]);
        let number = |to: i64| target(&all, to).map(|revision| revision.number).ok();
        assert_eq!(number(0), Some(3));
        assert_eq!(number(1), Some(1));
        assert_eq!(number(2), None);
        assert!(target(&revisions(&[1]), 0).is_err());
        assert!(table(&all).starts_with("REVISION  CHANGE-CAUSE\n1         <none>\n"));
    }

    #[test]
    fn hashes_do_not_count() {
        let template = json!({"metadata": {"labels": {"a": "b", HASH_LABEL: "x"}}, "spec": {}});
        let other =
            json!({"metadata": {"creationTimestamp": null, "labels": {"a": "b"}}, "spec": {}});
        assert!(same_template(&template, &other));
    }
}
