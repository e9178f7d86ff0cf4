//! The node's pressure conditions, and whom they keep out.

use super::REASON;
use super::threshold::Signal;
use crate::kubelet::pod::state::Verdict;
use crate::kubelet::spec::resources::qos_class;
use k8s_openapi::api::core::v1::{Pod, Toleration};

/// Priorities from here on are the system's own (upstream's `SystemCriticalPriority`).
const PRIORITY_CRITICAL_MIN: i32 = 2_000_000_000;
const MEMORY_TAINT: &str = "node.kubernetes.io/memory-pressure";

/// Which conditions hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

impl Pressure {
    pub fn any(self) -> bool {
        self != Pressure::default()
    }

    pub(super) fn by(signal: Signal) -> Pressure {
        let mut pressure = Pressure::default();
        match signal {
            Signal::MemoryAvailable => pressure.memory = true,
            Signal::PidAvailable => pressure.pids = true,
            Signal::NodefsAvailable
            | Signal::NodefsInodesFree
            | Signal::ImagefsAvailable
            | Signal::ImagefsInodesFree => pressure.disk = true,
        }
        pressure
    }

    fn names(self) -> Vec<&'static str> {
        [
            (self.disk, "DiskPressure"),
            (self.memory, "MemoryPressure"),
            (self.pids, "PIDPressure"),
        ]
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, name)| name)
        .collect()
    }
}

/// A pod the node does not give up: static, mirrored, or of a system priority.
pub fn is_critical(pod: &Pod) -> bool {
    let annotated = |key: &str| {
        pod.metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(key))
    };
    let is_static = annotated("kubernetes.io/config.mirror").is_some()
        || annotated("kubernetes.io/config.source").is_some_and(|source| source != "api");
    let priority = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.priority)
        .unwrap_or(0);
    is_static || priority >= PRIORITY_CRITICAL_MIN
}

/// Whether a node under `pressure` takes `pod` (upstream's eviction manager at the kubelet's door).
pub fn admit(pod: &Pod, pressure: Pressure) -> Result<(), Verdict> {
    if !pressure.any() || is_critical(pod) {
        return Ok(());
    }
    let only_memory = Pressure {
        memory: true,
        ..Pressure::default()
    };
    if pressure == only_memory && (qos_class(pod) != "BestEffort" || tolerates_memory(pod)) {
        return Ok(());
    }
    Err(Verdict {
        reason: REASON.to_owned(),
        message: format!(
            "Pod was rejected: The node had condition: [{}]. ",
            pressure.names().join(" ")
        ),
    })
}

fn tolerates_memory(pod: &Pod) -> bool {
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref());
    let tolerates = |one: &Toleration| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let effect = text(&one.effect);
        let key = text(&one.key);
        (effect.is_empty() || effect == "NoSchedule")
            && (key == MEMORY_TAINT || (key.is_empty() && text(&one.operator) == "Exists"))
            && (text(&one.operator) == "Exists" || text(&one.value).is_empty())
    };
    tolerations.unwrap_or_default().iter().any(tolerates)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn memory_pressure_keeps_best_effort_pods_out_and_disk_pressure_all() {
        let pod = |spec: serde_json::Value| -> Pod {
            let mut whole = json!({"spec": {"containers": [{"name": "c"}]}});
            json_patch::merge(&mut whole["spec"], &spec);
            serde_json::from_value(whole).unwrap()
        };
        let burstable =
            json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1m"}}}]});
        let tolerant = json!({"tolerations": [{"key": MEMORY_TAINT, "operator": "Exists"}]});
        let critical = json!({"priority": 2_000_000_000});
        let memory = Pressure {
            memory: true,
            ..Pressure::default()
        };
        let disk = Pressure {
            disk: true,
            ..memory
        };
        for (spec, pressure, taken) in [
            (json!({}), Pressure::default(), true),
            (json!({}), memory, false),
            (burstable.clone(), memory, true),
            (tolerant.clone(), memory, true),
            (burstable, disk, false),
            (tolerant, disk, false),
            (critical, disk, true),
        ] {
            assert_eq!(admit(&pod(spec.clone()), pressure).is_ok(), taken, "{spec}");
        }
        let told = admit(&pod(json!({})), disk).unwrap_err();
        assert_eq!(
            told.message,
            "Pod was rejected: The node had condition: [DiskPressure MemoryPressure]. "
        );
    }

    #[test]
    fn static_pods_are_critical() {
        for (annotations, expected) in [
            (json!({}), false),
            (json!({"kubernetes.io/config.source": "api"}), false),
            (json!({"kubernetes.io/config.source": "file"}), true),
            (json!({"kubernetes.io/config.mirror": "x"}), true),
        ] {
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap();
            assert_eq!(is_critical(&pod), expected);
        }
    }
}
