//! A Deployment's ReplicaSets while a plan is made: what they are, and what they are to become.

use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Target};
use crate::controllers::world::Folded;
use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// One ReplicaSet.
#[derive(Debug, Clone)]
pub struct Set {
    pub object: Arc<Folded<ReplicaSet>>,
    /// As it shall be.
    pub size: i32,
    pub annotations: BTreeMap<String, String>,
    pub min_ready_seconds: i32,
}

impl Set {
    pub fn new(object: Arc<Folded<ReplicaSet>>) -> Set {
        let spec = &object.spec;
        Set {
            size: spec.replicas.unwrap_or(1),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            annotations: object.metadata.annotations.clone().unwrap_or_default(),
            object,
        }
    }

    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn status(&self) -> ReplicaSetStatus {
        self.object.status.clone().unwrap_or_default()
    }

    pub fn available(&self) -> i32 {
        let status = self.object.status.as_ref();
        status.and_then(|s| s.available_replicas).unwrap_or(0)
    }

    pub fn is_ending(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// Oldest first; names between those of one second.
    pub fn age(&self) -> (Option<Time>, String) {
        let meta = &self.object.metadata;
        (meta.creation_timestamp.clone(), self.name().to_owned())
    }

    /// The number an annotation holds.
    pub fn number(&self, annotation: &str) -> Option<i32> {
        self.annotations.get(annotation)?.parse().ok()
    }

    /// To `size`, with what later scaling must know: how large the Deployment was meant to be then.
    pub fn scale(&mut self, size: i32, shape: &Shape) {
        self.size = size.max(0);
        self.remember(shape);
    }

    pub fn remember(&mut self, shape: &Shape) {
        for (key, value) in shape.annotations() {
            self.annotations.insert(key, value);
        }
    }

    /// What has to be written, and the event of a new size.
    pub fn actions(&self, deployment: &Target) -> Vec<Action> {
        let before = Set::new(self.object.clone());
        let mut patch = json!({});
        if before.size != self.size {
            patch["spec"]["replicas"] = self.size.into();
        }
        if before.min_ready_seconds != self.min_ready_seconds {
            patch["spec"]["minReadySeconds"] = self.min_ready_seconds.into();
        }
        let is_new =
            |(key, value): &(&String, &String)| before.annotations.get(*key) != Some(value);
        let annotations: Vec<_> = self.annotations.iter().filter(is_new).collect();
        for (key, value) in annotations {
            patch["metadata"]["annotations"][key] = value.as_str().into();
        }
        if patch.as_object().is_none_or(serde_json::Map::is_empty) || self.is_ending() {
            return Vec::new();
        }
        let mut actions = vec![self.patch(patch)];
        if before.size != self.size {
            let way = if self.size > before.size {
                "up"
            } else {
                "down"
            };
            actions.push(scaled(deployment, way, self.name(), before.size, self.size));
        }
        actions
    }

    fn patch(&self, patch: Value) -> Action {
        Action::Patch {
            target: Target::of::<ReplicaSet>(&self.object.metadata),
            part: None,
            resource_version: self.object.metadata.resource_version.clone(),
            patch,
        }
    }
}

pub fn scaled(deployment: &Target, way: &str, name: &str, from: i32, to: i32) -> Action {
    Action::tell(
        deployment,
        Kind::Normal,
        "ScalingReplicaSet",
        format!("Scaled {way} replica set {name} from {from} to {to}"),
    )
}

/// The newest template's set, if there is one, and the others.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    pub new: Option<Set>,
    pub old: Vec<Set>,
}

impl Sets {
    pub fn iter(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Set> {
        self.old.iter_mut().chain(&mut self.new)
    }

    pub fn size(&self) -> i32 {
        sum(self.iter().map(|s| s.size))
    }

    pub fn available(&self) -> i32 {
        sum(self.iter().map(Set::available))
    }
}

pub fn sum(numbers: impl Iterator<Item = i32>) -> i32 {
    numbers.fold(0, i32::saturating_add)
}

/// How many pods there may be and must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub replicas: i32,
    pub surge: i32,
    pub unavailable: i32,
    pub is_rolling: bool,
}

impl Shape {
    /// <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment>: surge is rounded
    /// up, unavailable down, and both cannot be none.
    pub fn of(spec: &DeploymentSpec) -> Shape {
        let replicas = spec.replicas.unwrap_or(1).max(0);
        let strategy = spec.strategy.clone().unwrap_or_default();
        let is_rolling = strategy.type_.as_deref() != Some("Recreate");
        let none = Shape {
            replicas,
            surge: 0,
            unavailable: 0,
            is_rolling,
        };
        if !is_rolling {
            return none;
        }
        let rolling = strategy.rolling_update.unwrap_or_default();
        let quarter = IntOrString::String("25%".to_owned());
        let surge = rolling.max_surge.as_ref().unwrap_or(&quarter);
        let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&quarter);
        let surge = share(surge, replicas, true);
        let mut unavailable = share(unavailable, replicas, false);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Shape {
            surge,
            unavailable: unavailable.min(replicas),
            ..none
        }
    }

    pub fn max(&self) -> i32 {
        self.replicas.saturating_add(self.surge)
    }

    pub fn min_available(&self) -> i32 {
        self.replicas - self.unavailable
    }

    pub fn annotations(&self) -> [(String, String); 2] {
        [
            (DESIRED.to_owned(), self.replicas.to_string()),
            (MAX.to_owned(), self.max().to_string()),
        ]
    }
}

/// A number, or a percentage of `total`.
pub fn share(value: &IntOrString, total: i32, is_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredths = percent.clamp(0, 1_000_000) * i64::from(total);
            let whole = (hundredths + if is_up { 99 } else { 0 }) / 100;
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}
