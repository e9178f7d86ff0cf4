//! ControllerRevisions: which template of a StatefulSet or DaemonSet came when, what `kubectl rollout history` and
//! `undo` go by. <https://kubernetes.io/docs/tasks/manage-daemon/rollback-daemon-set/>
//!
//! A template that was there before is found again by equality, whatever its hash, and its number is raised.

use super::action::{Action, Target};
use super::owners;
use super::world::{Watched, World, controller};
use crate::object::selector::LabelSelector;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Of pods: the revision they are of.
pub const LABEL: &str = "controller-revision-hash";
/// Of what is not written: years of history are not asked for.
const LIMIT_DEFAULT: i32 = 10;
/// Is large, and says nothing that the revision does not.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What there is for the newest template.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, on the stack"
)]
pub enum Newest {
    Is(Arc<ControllerRevision>),
    /// It is to be made, or to be numbered anew.
    Do(Action),
    /// Its name is another's: the hash must be another. Holds the count of collisions with this one.
    Collides(i32),
    /// Its name is that of an earlier owner of the same name, whose objects are on their way out.
    Wait,
}

/// The patch that brings a template back: as `kubectl` sends it to the API.
pub fn data(template: &PodTemplateSpec) -> Value {
    let mut template = json!(template);
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

/// The template that the revision remembers.
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let data = &revision.data.0;
    PodTemplateSpec::deserialize(data.pointer("/spec/template")?).ok()
}

pub fn name(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

/// Those of an owner, oldest first, and what is to be adopted or released.
pub fn claim<O: Watched>(
    world: &World,
    owner: &O,
    selector: &LabelSelector,
) -> owners::Claim<ControllerRevision> {
    let namespace = owner.metadata().namespace.as_deref().unwrap_or_default();
    let mut claim = owners::claim(owner, selector, world.revisions.in_namespace(namespace));
    claim.owned.sort_by(|a, b| order(a).cmp(&order(b)));
    claim
}

fn order(revision: &ControllerRevision) -> (Option<i64>, Option<jiff::Timestamp>, &str) {
    let created = revision.metadata.creation_timestamp.as_ref();
    (revision.revision, created.map(|at| at.0), name(revision))
}

/// The revision of the newest template among `history` (sorted); `hash_label` is where the kind keeps its hash.
pub fn newest<O: Watched + Resource>(
    world: &World,
    owner: &ObjectMeta,
    pods: &PodTemplateSpec,
    collisions: Option<i32>,
    history: &[Arc<ControllerRevision>],
    hash_label: &str,
) -> Newest {
    let data = data(pods);
    let is_equal = |r: &&Arc<ControllerRevision>| r.data.0 == data;
    let last = history.last();
    let next = last.and_then(|r| r.revision).unwrap_or(0).saturating_add(1);
    if let Some(equal) = history.iter().rev().find(is_equal) {
        if last.is_some_and(|last| Arc::ptr_eq(last, equal)) {
            return Newest::Is(equal.clone());
        }
        return Newest::Do(Action::Patch {
            target: Target::of::<ControllerRevision>(&equal.metadata),
            part: None,
            resource_version: equal.metadata.resource_version.clone(),
            patch: json!({"revision": next}),
        });
    }
    let hash = super::deployment::hash(&data, collisions);
    let namespace = owner.namespace.as_deref().unwrap_or_default();
    let owner_name = owner.name.as_deref().unwrap_or_default();
    let name = format!("{owner_name}-{hash}");
    let target = Target::named::<ControllerRevision>(namespace, &name);
    if let Some(other) = world.revisions.get(&target.key()) {
        let is_ours = |o: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| {
            o.kind == O::KIND && o.name == owner_name
        };
        if controller(&other.metadata).is_some_and(is_ours) {
            return Newest::Wait;
        }
        return Newest::Collides(collisions.unwrap_or(0).saturating_add(1));
    }
    let meta = pods.metadata.clone().unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    labels.insert(hash_label.to_owned(), hash);
    let mut annotations = owner.annotations.clone().unwrap_or_default();
    annotations.remove(APPLIED);
    Newest::Do(Action::Create {
        target,
        object: json!({
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [owners::reference::<O>(owner)],
            },
            "data": data,
            "revision": next,
        }),
    })
}

/// Deletes the oldest of `counted` (sorted) past the limit; those that are live stay.
pub fn superfluous(
    counted: &[&Arc<ControllerRevision>],
    limit: Option<i32>,
    is_live: impl Fn(&ControllerRevision) -> bool,
) -> Vec<Action> {
    let limit = usize::try_from(limit.unwrap_or(LIMIT_DEFAULT)).unwrap_or(0);
    let too_many = counted.len().saturating_sub(limit);
    let dead = counted
        .iter()
        .filter(|r| !is_live(r) && r.metadata.deletion_timestamp.is_none());
    dead.take(too_many)
        .map(|revision| Action::Delete {
            target: Target::of::<ControllerRevision>(&revision.metadata),
            resource_version: None,
            grace_period_seconds: None,
            propagation: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use k8s_openapi::api::apps::v1::StatefulSet;

    fn pods(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({"metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": image}]}}))
        .unwrap()
    }

    fn owner() -> ObjectMeta {
        serde_json::from_value(json!({"namespace": "a", "name": "web", "uid": "1",
            "annotations": {APPLIED: "long", "kubernetes.io/change-cause": "why"}}))
        .unwrap()
    }

    fn revision(name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
        Arc::new(serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name, "uid": name, "resourceVersion": "7"},
            "data": data(&pods(image)), "revision": number})).unwrap())
    }

    fn newest_of(world: &World, image: &str, history: &[Arc<ControllerRevision>]) -> Newest {
        newest::<StatefulSet>(world, &owner(), &pods(image), None, history, "h")
    }

    #[test]
    fn a_template_is_found_made_or_numbered_anew() {
        let world = World::default();
        let Newest::Do(Action::Create { target, object }) = newest_of(&world, "i:1", &[]) else {
            panic!("not made");
        };
        assert_eq!(object["revision"], 1);
        assert_eq!(
            object["metadata"]["annotations"],
            json!({"kubernetes.io/change-cause": "why"})
        );
        assert_eq!(object["metadata"]["labels"]["app"], "x");
        let hash = object["metadata"]["labels"]["h"].as_str().unwrap();
        assert_eq!(target.name, format!("web-{hash}"));
        let history = [revision("one", 1, "i:1"), revision("two", 2, "i:2")];
        assert!(matches!(newest_of(&world, "i:2", &history), Newest::Is(r) if name(&r) == "two"));
        let Newest::Do(Action::Patch { target, patch, .. }) = newest_of(&world, "i:1", &history)
        else {
            panic!("not numbered");
        };
        assert_eq!(
            (target.name.as_str(), patch),
            ("one", json!({"revision": 3}))
        );
        assert_eq!(template(&history[0]).unwrap(), pods("i:1"));
    }

    #[test]
    fn a_name_that_is_taken() {
        let Newest::Do(Action::Create { object, .. }) = newest_of(&World::default(), "i:1", &[])
        else {
            panic!("not made");
        };
        let taken = |owner: &str| {
            let mut other = object.clone();
            other["apiVersion"] = "apps/v1".into();
            other["kind"] = "ControllerRevision".into();
            other["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet",
                "name": owner, "uid": "2", "controller": true}]);
            World::of(&[other])
        };
        assert!(matches!(newest_of(&taken("web"), "i:1", &[]), Newest::Wait));
        assert!(matches!(
            newest_of(&taken("other"), "i:1", &[]),
            Newest::Collides(1)
        ));
    }

    #[test]
    fn the_oldest_go_first_and_what_is_live_stays() {
        let history: Vec<_> = (1..=4)
            .map(|n| revision(&format!("r{n}"), n, &format!("i:{n}")))
            .collect();
        let all: Vec<_> = history.iter().collect();
        let gone = |limit: Option<i32>| -> Vec<String> {
            let target = |action: Action| match action {
                Action::Delete { target, .. } => target.name,
                other => panic!("{other:?}"),
            };
            let actions = superfluous(&all, limit, |r| name(r) == "r1");
            actions.into_iter().map(target).collect()
        };
        assert_eq!(gone(Some(2)), ["r2", "r3"]);
        assert_eq!(gone(Some(0)), ["r2", "r3", "r4"]);
        assert!(gone(None).is_empty());
    }
}
