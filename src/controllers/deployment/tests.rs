//! A Deployment's way, step by step, with its sets' controller played by the test; and tables of its arithmetic.
#![allow(clippy::unwrap_used)]

use super::sets::{Set, Sets, Shape};
use super::*;
use crate::controllers::action::Action;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

/// Objects by kind and name, as an API would keep them.
struct Cluster {
    objects: BTreeMap<String, Value>,
    revision: u64,
    told: Vec<String>,
    seconds: i64,
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

impl Cluster {
    fn new(spec: Value) -> Cluster {
        let mut cluster = Cluster {
            objects: BTreeMap::new(),
            revision: 1,
            told: Vec::new(),
            seconds: 0,
        };
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "a", "name": "web", "uid": "d", "generation": 1,
                "annotations": {"note": "n", "kubectl.kubernetes.io/last-applied-configuration": "x"}},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 10,
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}});
        merge(&mut object["spec"], &spec);
        cluster.store("Deployment/web", object);
        cluster
    }

    fn store(&mut self, key: &str, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.objects.insert(key.to_owned(), object);
    }

    fn edit(&mut self, spec: &Value) {
        let mut object = self.objects["Deployment/web"].clone();
        merge(&mut object["spec"], spec);
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = (generation + 1).into();
        self.store("Deployment/web", object);
    }

    fn image(&mut self, image: &str) {
        self.edit(&json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}));
    }

    fn plan(&self) -> Plan {
        let objects: Vec<Value> = self.objects.values().cloned().collect();
        Deployments.reconcile(
            &World::of(&objects),
            &("a".into(), "web".into()),
            at(self.seconds),
        )
    }

    fn act(&mut self, action: Action) {
        let key = |target: &Target| format!("{}/{}", target.kind, target.name);
        match action {
            Action::Report { action, done, .. } => {
                self.act(*action);
                for action in done {
                    self.act(action);
                }
            }
            Action::Create { target, mut object } => {
                let key = key(&target);
                assert!(!self.objects.contains_key(&key));
                object["apiVersion"] = "apps/v1".into();
                object["kind"] = "ReplicaSet".into();
                object["metadata"]["uid"] = target.name.as_str().into();
                object["metadata"]["generation"] = 1.into();
                object["metadata"]["creationTimestamp"] = at(self.seconds).to_string().into();
                self.store(&key, object);
            }
            Action::Patch {
                target,
                part,
                patch,
                resource_version,
                ..
            } => {
                let key = key(&target);
                let mut object = self.objects[&key].clone();
                if let Some(version) = resource_version {
                    assert_eq!(object["metadata"]["resourceVersion"], version.as_str());
                }
                assert!(part.is_none() || patch["spec"].is_null());
                merge(&mut object, &patch);
                self.store(&key, object);
            }
            Action::SetStatus {
                target,
                status,
                resource_version,
            } => {
                let key = key(&target);
                let mut object = self.objects[&key].clone();
                assert_eq!(
                    object["metadata"]["resourceVersion"],
                    resource_version.unwrap().as_str()
                );
                object["status"] = status;
                self.store(&key, object);
            }
            Action::Delete { target, .. } => {
                self.objects.remove(&key(&target));
            }
            Action::Tell { message, .. } => self.told.push(message),
            other => panic!("{other:?}"),
        }
    }

    /// One look; whether anything was done.
    fn step(&mut self) -> bool {
        let plan = self.plan();
        let any = !plan.actions.is_empty();
        plan.actions.into_iter().for_each(|action| self.act(action));
        any
    }

    /// All sets have the pods they ask for, available unless their image is bad.
    fn pods_follow(&mut self) {
        let keys: Vec<String> = self
            .objects
            .keys()
            .filter(|k| k.starts_with("ReplicaSet/"))
            .cloned()
            .collect();
        for key in keys {
            let mut object = self.objects[&key].clone();
            let size = object["spec"]["replicas"].clone();
            let is_bad = object["spec"]["template"]["spec"]["containers"][0]["image"] == "bad";
            let good = if is_bad { json!(0) } else { size.clone() };
            let status = json!({"replicas": size, "readyReplicas": good, "availableReplicas": good, "observedGeneration": 1});
            if object["status"] != status {
                object["status"] = status;
                self.store(&key, object);
            }
        }
    }

    /// Until nothing is left to do; holds `check` after every step.
    fn settle(&mut self, check: impl Fn(&Cluster)) {
        for _ in 0..100 {
            let any = self.step();
            check(self);
            self.pods_follow();
            self.seconds += 1;
            if !any && self.plan().actions.is_empty() {
                return;
            }
        }
        panic!("not settled: {:?}", self.plan());
    }

    /// Sizes by image.
    fn sizes(&self) -> BTreeMap<String, i64> {
        let sets = self.objects.values().filter(|o| o["kind"] == "ReplicaSet");
        sets.map(|set| {
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap();
            (image.to_owned(), set["spec"]["replicas"].as_i64().unwrap())
        })
        .collect()
    }

    fn set(&self, image: &str) -> &Value {
        let mut sets = self.objects.values().filter(|o| o["kind"] == "ReplicaSet");
        sets.find(|set| set["spec"]["template"]["spec"]["containers"][0]["image"] == image)
            .unwrap()
    }

    fn reason(&self, kind: &str) -> String {
        let conditions = self.objects["Deployment/web"]["status"]["conditions"]
            .as_array()
            .unwrap();
        let found = conditions.iter().find(|c| c["type"] == kind);
        found
            .map_or("", |c| c["reason"].as_str().unwrap())
            .to_owned()
    }
}

fn sizes(list: &[(&str, i64)]) -> BTreeMap<String, i64> {
    list.iter()
        .map(|(image, size)| ((*image).to_owned(), *size))
        .collect()
}

#[test]
fn a_rollout_keeps_within_its_bounds_and_can_be_undone() {
    for (surge, unavailable, max, min) in [("25%", "25%", 5, 3), ("0", "1", 4, 3), ("2", "0", 6, 4)]
    {
        let number = |text: &str| text.parse::<i32>().map_or(json!(text), |n| json!(n));
        let mut cluster = Cluster::new(json!({"strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": number(surge), "maxUnavailable": number(unavailable)}}}));
        cluster.settle(|_| ());
        assert_eq!(cluster.reason("Progressing"), "NewReplicaSetAvailable");
        assert_eq!(cluster.reason("Available"), "MinimumReplicasAvailable");
        let first = cluster.set("i:1").clone();
        let annotations = &first["metadata"]["annotations"];
        assert_eq!(annotations["note"], "n");
        assert!(annotations["kubectl.kubernetes.io/last-applied-configuration"].is_null());
        let within = |cluster: &Cluster| {
            let sum: i64 = cluster.sizes().values().sum();
            let sets = cluster
                .objects
                .values()
                .filter(|o| o["kind"] == "ReplicaSet");
            let kept = sets.map(|s| {
                let available = s["status"]["availableReplicas"].as_i64().unwrap_or(0);
                available.min(s["spec"]["replicas"].as_i64().unwrap())
            });
            assert!(sum <= max, "{:?}", cluster.sizes());
            assert!(kept.sum::<i64>() >= min, "{:?}", cluster.sizes());
        };
        cluster.image("i:2");
        cluster.settle(within);
        assert_eq!(cluster.sizes(), sizes(&[("i:1", 0), ("i:2", 4)]));
        cluster.image("i:1");
        cluster.settle(within);
        let back = cluster.set("i:1");
        assert_eq!(back["metadata"]["uid"], first["metadata"]["uid"]);
        let annotations = &back["metadata"]["annotations"];
        assert_eq!(annotations[revisions::REVISION], "3");
        assert_eq!(annotations[revisions::HISTORY], "1");
        let own = &cluster.objects["Deployment/web"]["metadata"]["annotations"];
        assert_eq!(own[revisions::REVISION], "3");
    }
}

#[test]
fn recreate_waits_for_the_old_pods() {
    let mut cluster = Cluster::new(json!({"strategy": {"type": "Recreate"}}));
    cluster.settle(|_| ());
    let name = cluster.set("i:1")["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p", "uid": "p",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": true}]},
        "spec": {"containers": []}, "status": {"phase": "Running"}});
    cluster.store("Pod/p", pod);
    cluster.image("i:2");
    cluster.settle(|_| ());
    assert_eq!(cluster.sizes(), sizes(&[("i:1", 0)]));
    cluster.objects.remove("Pod/p");
    cluster.settle(|_| ());
    assert_eq!(cluster.sizes(), sizes(&[("i:1", 0), ("i:2", 4)]));
}

#[test]
fn an_image_that_never_comes_is_late_and_the_next_rollout_takes_its_pods_first() {
    let mut cluster = Cluster::new(json!({}));
    cluster.settle(|_| ());
    cluster.image("bad");
    cluster.settle(|_| ());
    assert_eq!(cluster.sizes(), sizes(&[("i:1", 3), ("bad", 2)]));
    assert_eq!(cluster.reason("Progressing"), "ReplicaSetUpdated");
    assert!(cluster.plan().again.unwrap().as_secs() <= 601);
    cluster.seconds += 700;
    cluster.settle(|_| ());
    assert_eq!(cluster.reason("Progressing"), "ProgressDeadlineExceeded");
    assert_eq!(cluster.plan(), Plan::default());
    cluster.image("i:3");
    cluster.settle(|_| ());
    assert_eq!(
        cluster.sizes(),
        sizes(&[("i:1", 0), ("bad", 0), ("i:3", 4)])
    );
    assert_eq!(cluster.reason("Progressing"), "NewReplicaSetAvailable");
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll_out() {
    let mut cluster = Cluster::new(json!({}));
    cluster.settle(|_| ());
    cluster.edit(&json!({"paused": true, "replicas": 6}));
    cluster.image("i:2");
    cluster.settle(|_| ());
    assert_eq!(cluster.sizes(), sizes(&[("i:1", 6)]));
    assert_eq!(cluster.reason("Progressing"), "DeploymentPaused");
    cluster.edit(&json!({"paused": false}));
    cluster.settle(|_| ());
    assert_eq!(cluster.sizes(), sizes(&[("i:1", 0), ("i:2", 6)]));
}

#[test]
fn old_sets_past_the_limit_are_deleted() {
    let mut cluster = Cluster::new(json!({"revisionHistoryLimit": 1}));
    for image in ["i:1", "i:2", "i:3"] {
        cluster.image(image);
        cluster.settle(|_| ());
    }
    assert_eq!(cluster.sizes(), sizes(&[("i:2", 0), ("i:3", 4)]));
}

#[test]
fn a_taken_name_makes_another_hash() {
    let mut cluster = Cluster::new(json!({}));
    let template: k8s_openapi::api::core::v1::PodTemplateSpec =
        serde_json::from_value(cluster.objects["Deployment/web"]["spec"]["template"].clone())
            .unwrap();
    let name = format!("web-{}", template::hash(&template, None));
    let other = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"namespace": "a", "name": name, "uid": "x"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "other"}},
            "template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}});
    cluster.store(&format!("ReplicaSet/{name}"), other);
    cluster.settle(|_| ());
    assert_eq!(
        cluster.objects["Deployment/web"]["status"]["collisionCount"],
        1
    );
    assert_eq!(cluster.sizes(), sizes(&[("i:1", 4), ("other", 0)]));
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_shared() {
    // Sizes, replicas before and after, surge; the sizes after. Upstream's page has the first.
    for (old, new, before, after, surge, expected) in [
        (8, 5, 10, 15, 3, (11, 7)),
        (8, 5, 10, 5, 3, (5, 3)),
        (5, 5, 10, 20, 0, (10, 10)),
        (8, 5, 10, 0, 3, (0, 0)),
    ] {
        let set = |name: &str, size: i32, created: i64| {
            let object = serde_json::from_value(json!({"metadata": {"name": name, "creationTimestamp": at(created).to_string(),
                "annotations": {sets::DESIRED: before.to_string(), sets::MAX: (before + surge).to_string()}},
                "spec": {"replicas": size, "selector": {}}}))
            .unwrap();
            Set::new(Arc::new(object))
        };
        let mut sets = Sets {
            new: Some(set("new", new, 1)),
            old: vec![set("old", old, 0)],
        };
        let shape = Shape {
            replicas: after,
            surge,
            unavailable: 2,
            is_rolling: true,
        };
        assert!(scaling::is_due(&sets, &shape));
        scaling::scale(&mut sets, &shape, 0);
        assert_eq!((sets.old[0].size, sets.new.unwrap().size), expected);
    }
}

#[test]
fn surge_is_rounded_up_and_unavailable_down() {
    for (surge, unavailable, replicas, expected) in [
        (json!("25%"), json!("25%"), 10, (3, 2)),
        (json!("25%"), json!("25%"), 1, (1, 0)),
        (json!(0), json!("10%"), 3, (0, 1)),
        (json!("100%"), json!("100%"), 3, (3, 3)),
        (json!(0), json!(9), 3, (0, 3)),
        (json!(1), json!(1), 0, (1, 0)),
    ] {
        let spec =
            serde_json::from_value(json!({"replicas": replicas, "selector": {}, "template": {},
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}))
            .unwrap();
        let shape = Shape::of(&spec);
        assert_eq!(
            (shape.surge, shape.unavailable),
            expected,
            "{surge} {unavailable} {replicas}"
        );
    }
}

#[test]
fn a_deployment_that_selects_all_is_told_so_once() {
    let mut cluster = Cluster::new(json!({"selector": null}));
    cluster.edit(&json!({"selector": {}}));
    cluster.settle(|_| ());
    assert_eq!(cluster.told.len(), 1);
    assert_eq!(cluster.sizes(), sizes(&[]));
}
