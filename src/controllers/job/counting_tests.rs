//! Any order of ends, deletions and crashes in the middle of a plan: each pod is counted once.
#![allow(clippy::unwrap_used)]

use super::tests::{job, now};
use super::*;
use crate::controllers::world::World;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CASES: u32 = 256;
/// Decisions until a Job must have ended: each ends or makes a pod at least.
const ROUNDS_MAX: usize = 200;

#[derive(Debug, Clone)]
enum Step {
    /// A decision, of which so many writes are done before the process dies.
    Decide(usize),
    End(usize, bool),
    Delete(usize),
    Advance(u16),
}

/// Objects as the API keeps them, as far as this controller asks for more than one write at a time.
struct Store {
    world: World,
    objects: BTreeMap<String, Value>,
    revision: u64,
    now: Timestamp,
    /// Pods that have ended or were deleted.
    ended: BTreeSet<String>,
}

impl Store {
    fn new(spec: Value) -> Store {
        let mut store = Store {
            world: World::default(),
            objects: BTreeMap::new(),
            revision: 0,
            now: now(),
            ended: BTreeSet::new(),
        };
        store.put(job(spec, json!({})));
        store
    }

    fn put(&mut self, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let meta = &object["metadata"];
        let name = meta["name"].as_str().unwrap().to_owned();
        let held = meta["finalizers"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        let over = matches!(
            object["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
        if object["kind"] == "Pod" && !meta["deletionTimestamp"].is_null() && over && !held {
            self.world
                .unlearn("v1", "Pod", &("n".into(), name.clone()), &name);
            self.objects.remove(&name);
            return;
        }
        self.world.learn(&object);
        self.objects.insert(name, object);
    }

    /// False: the world is not what the writer thinks.
    fn write(&mut self, action: &Action) -> bool {
        match action {
            Action::SetStatus {
                target,
                resource_version,
                status,
            } => {
                let mut object = self.objects[&target.name].clone();
                assert_eq!(
                    object["metadata"]["resourceVersion"].as_str(),
                    resource_version.as_deref()
                );
                object["status"] = status.clone();
                self.put(object);
            }
            Action::Patch {
                target,
                resource_version,
                patch,
                ..
            } => {
                let Some(mut object) = self.objects.get(&target.name).cloned() else {
                    return false;
                };
                if object["metadata"]["resourceVersion"].as_str() != resource_version.as_deref() {
                    return false;
                }
                object["metadata"]["finalizers"] = patch["metadata"]["finalizers"].clone();
                self.put(object);
            }
            Action::Delete { target, .. } => return self.delete(&target.name),
            Action::Create { object, .. } => {
                let mut pod = object.clone();
                let name = format!("pod-{}", self.revision);
                (pod["apiVersion"], pod["kind"]) = ("v1".into(), "Pod".into());
                pod["metadata"]["name"] = name.as_str().into();
                pod["metadata"]["uid"] = name.into();
                pod["metadata"]["creationTimestamp"] = json!(self.now);
                pod["status"] = json!({"phase": "Running"});
                self.put(pod);
            }
            other => panic!("{other:?}"),
        }
        true
    }

    fn delete(&mut self, name: &str) -> bool {
        let Some(mut pod) = self.objects.get(name).cloned() else {
            return false;
        };
        if pod["metadata"]["deletionTimestamp"].is_null() {
            pod["metadata"]["deletionTimestamp"] = json!(self.now);
            self.ended.insert(name.to_owned());
            self.put(pod);
        }
        true
    }

    fn pods(&self, is_one: impl Fn(&Value) -> bool) -> Vec<String> {
        let pods = self
            .objects
            .iter()
            .filter(|(_, o)| o["kind"] == "Pod" && is_one(o));
        pods.map(|(name, _)| name.clone()).collect()
    }

    fn running(&self) -> Vec<String> {
        self.pods(|pod| pod["status"]["phase"] == "Running")
    }

    fn end(&mut self, name: &str, well: bool) {
        self.ended.insert(name.to_owned());
        let mut pod = self.objects[name].clone();
        let (phase, code) = if well {
            ("Succeeded", 0)
        } else {
            ("Failed", 1)
        };
        pod["status"] = json!({"phase": phase, "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": code, "finishedAt": self.now}}}]});
        self.put(pod);
    }

    /// Whether there was something to do.
    fn decide(&mut self, writes: usize) -> bool {
        let plan = Jobs.reconcile(&self.world, &("n".into(), "j".into()), self.now);
        let mut left = Vec::new();
        flatten(&plan.actions, &mut left);
        for action in left.iter().take(writes) {
            if !self.write(action) {
                break;
            }
        }
        !left.is_empty()
    }

    fn step(&mut self, step: &Step) {
        let pick = |names: Vec<String>, index: usize| {
            let at = index.checked_rem(names.len())?;
            names.into_iter().nth(at)
        };
        match step {
            Step::Decide(writes) => {
                self.decide(*writes);
            }
            Step::End(index, well) => {
                if let Some(name) = pick(self.running(), *index) {
                    self.end(&name, *well);
                }
            }
            Step::Delete(index) => {
                if let Some(name) = pick(self.pods(|_| true), *index) {
                    self.delete(&name);
                }
            }
            Step::Advance(seconds) => self.now = clock::after(self.now, (*seconds).into()),
        }
    }

    /// Everything runs well to its end.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            while self.decide(usize::MAX) {}
            let running = self.running();
            for name in &running {
                self.end(name, true);
            }
            self.now = clock::after(self.now, 600);
            if running.is_empty() && !self.decide(usize::MAX) {
                return;
            }
        }
        panic!("does not settle");
    }
}

/// The writes, in order; what is done after a write that fails is not asked here.
fn flatten(actions: &[Action], all: &mut Vec<Action>) {
    for action in actions {
        match action {
            Action::Batch(actions) => flatten(actions, all),
            Action::Report { action, done, .. } => {
                flatten(std::slice::from_ref(action), all);
                flatten(done, all);
            }
            Action::Tell { .. } => {}
            other => all.push(other.clone()),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12_usize).prop_map(Step::Decide),
        4 => (0..8_usize, any::<bool>()).prop_map(|(index, well)| Step::End(index, well)),
        1 => (0..8_usize).prop_map(Step::Delete),
        2 => (0..700_u16).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn each_pod_is_counted_once(steps in steps(), indexed in any::<bool>(), replacement in any::<bool>()) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let replacement = if replacement { "Failed" } else { "TerminatingOrFailed" };
        let mut store = Store::new(json!({"completions": 5, "parallelism": 3, "backoffLimit": 1000,
            "completionMode": mode, "podReplacementPolicy": replacement}));
        for step in &steps {
            store.step(step);
        }
        store.settle();
        let status = &store.objects["j"]["status"];
        let count = |field: &str| status[field].as_u64().unwrap_or(0);
        prop_assert_eq!(count("succeeded"), 5);
        // A pod that is deleted counts by how it ends, or as failed, whichever is seen first; either way once.
        prop_assert_eq!(count("succeeded") + count("failed"), store.ended.len() as u64);
        prop_assert_eq!(status["conditions"][1]["type"].as_str(), Some("Complete"));
        prop_assert!(store.pods(|pod| pod["metadata"]["finalizers"] != json!([])).is_empty());
    }
}
