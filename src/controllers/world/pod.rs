//! A pod, as far as controllers look at it: a fraction of the object, since there are many.

use super::few::Few;
use k8s_openapi::api::core::v1::{
    ContainerPort, PersistentVolumeClaimTemplate, PodCondition, PodIP, PodReadinessGate, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Null means that there is nothing, as in Go.
fn or_default<'a, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'a>,
    T: Default + Deserialize<'a>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Of a pod's affinity, what controllers ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AffinityView {
    /// Whether a term looks at pods of other namespaces.
    pub looks_elsewhere: bool,
    /// The only node its required affinity allows, by name: where a DaemonSet wants it.
    pub pinned_node: Option<String>,
}

impl<'a> Deserialize<'a> for AffinityView {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<AffinityView, D::Error> {
        let affinity = serde_json::Value::deserialize(deserializer)?;
        Ok(AffinityView {
            looks_elsewhere: crate::object::quota::looks_elsewhere(&affinity),
            pinned_node: pinned(&affinity),
        })
    }
}

/// The one node that `matchFields` names.
fn pinned(affinity: &serde_json::Value) -> Option<String> {
    const TERMS: &str =
        "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let [term] = affinity.pointer(TERMS)?.as_array()?.as_slice() else {
        return None;
    };
    let [field] = term["matchFields"].as_array()?.as_slice() else {
        return None;
    };
    let is_name = field["key"] == "metadata.name" && field["operator"] == "In";
    match field["values"].as_array()?.as_slice() {
        [name] if is_name => name.as_str().map(str::to_owned),
        _ => None,
    }
}

/// Decodes from a whole Pod. Lists are boxed: a `Vec` that grew has room for twice as many.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodView {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpecView,
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatusView,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpecView {
    pub node_name: Option<String>,
    pub hostname: Option<String>,
    pub subdomain: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub host_network: bool,
    pub restart_policy: Option<String>,
    pub priority: Option<i32>,
    pub active_deadline_seconds: Option<i64>,
    #[serde(deserialize_with = "or_default")]
    pub containers: Box<[ContainerView]>,
    #[serde(deserialize_with = "or_default")]
    pub init_containers: Box<[ContainerView]>,
    #[serde(deserialize_with = "or_default")]
    pub volumes: Box<[VolumeView]>,
    #[serde(deserialize_with = "or_default")]
    pub tolerations: Box<[Toleration]>,
    #[serde(deserialize_with = "or_default")]
    pub readiness_gates: Box<[PodReadinessGate]>,
    pub priority_class_name: Option<String>,
    /// Of the pod as a whole.
    #[serde(deserialize_with = "or_default")]
    pub resources: ResourcesView,
    #[serde(deserialize_with = "or_default")]
    pub overhead: Few,
    pub affinity: AffinityView,
}

/// Of a container: what Services, quotas and autoscalers ask for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerView {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    pub image: Option<String>,
    pub restart_policy: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub ports: Box<[ContainerPort]>,
    #[serde(deserialize_with = "or_default")]
    pub resources: ResourcesView,
}

/// Quantities as written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourcesView {
    #[serde(deserialize_with = "or_default")]
    pub requests: Few,
    #[serde(deserialize_with = "or_default")]
    pub limits: Few,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeView {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    pub persistent_volume_claim: Option<ClaimView>,
    pub ephemeral: Option<EphemeralView>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimView {
    #[serde(deserialize_with = "or_default")]
    pub claim_name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EphemeralView {
    pub volume_claim_template: Option<PersistentVolumeClaimTemplate>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatusView {
    pub phase: Option<String>,
    pub reason: Option<String>,
    pub message: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Box<[PodCondition]>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    #[serde(deserialize_with = "or_default")]
    pub pod_ips: Box<[PodIP]>,
    pub start_time: Option<Time>,
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Box<[ContainerStatusView]>,
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Box<[ContainerStatusView]>,
    pub qos_class: Option<String>,
}

/// Of a container's status: how often it restarted, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatusView {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    pub restart_count: i32,
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerStateView,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerStateView {
    pub terminated: Option<TerminatedView>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TerminatedView {
    #[serde(deserialize_with = "or_default")]
    pub exit_code: i32,
    pub finished_at: Option<Time>,
}

impl k8s_openapi::Resource for PodView {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Pod";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for PodView {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl PodView {
    pub fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or("Pending")
    }

    pub fn is_ending(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// It has ended by itself, well or badly.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// Counts as one of its owner's replicas (upstream's `IsPodActive`).
    pub fn is_active(&self) -> bool {
        !self.is_finished() && !self.is_ending()
    }

    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|c| c.type_ == kind)
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| c.status == "True")
    }

    /// Ready for at least `seconds` (upstream's `IsPodAvailable`). Otherwise, when it will be; `None`: when it gets ready.
    pub fn available(
        &self,
        seconds: i32,
        now: jiff::Timestamp,
    ) -> Result<(), Option<jiff::Timestamp>> {
        let ready = self
            .condition("Ready")
            .filter(|c| c.status == "True")
            .ok_or(None)?;
        if seconds <= 0 {
            return Ok(());
        }
        let since = ready.last_transition_time.as_ref().ok_or(None)?.0;
        let at = since
            .checked_add(jiff::SignedDuration::from_secs(seconds.into()))
            .map_err(|_| None)?;
        if at <= now { Ok(()) } else { Err(Some(at)) }
    }

    /// Stands for one that a node runs from its own files.
    pub fn is_mirror(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"))
    }

    /// Its conditions with this one in its place; the transition time stays where the status does. `None`: it says so
    /// already.
    pub fn with_condition(&self, mut condition: PodCondition) -> Option<Vec<PodCondition>> {
        let mut conditions = self.status.conditions.to_vec();
        let at = conditions.iter().position(|c| c.type_ == condition.type_);
        match at.map(|at| &mut conditions[at]) {
            Some(old) => {
                if old.status == condition.status {
                    (condition.last_transition_time).clone_from(&old.last_transition_time);
                }
                if *old == condition {
                    return None;
                }
                *old = condition;
            }
            None => conditions.push(condition),
        }
        Some(conditions)
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_available_some_time_after_it_got_ready() {
        let now: jiff::Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let pod = |status: &str| -> PodView {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "command": ["x"]}]},
                "status": {"phase": "Running", "podIP": "10.42.0.2", "conditions": [
                    {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:50Z"}]}}))
            .unwrap()
        };
        let later: jiff::Timestamp = "2026-01-01T00:01:20Z".parse().unwrap();
        for (status, seconds, expected) in [
            ("True", 0, Ok(())),
            ("True", 10, Ok(())),
            ("True", 30, Err(Some(later))),
            ("False", 0, Err(None)),
        ] {
            assert_eq!(
                pod(status).available(seconds, now),
                expected,
                "{status} {seconds}"
            );
        }
        assert!(pod("True").is_active());
        assert_eq!(pod("True").status.pod_ip.as_deref(), Some("10.42.0.2"));
    }
}
