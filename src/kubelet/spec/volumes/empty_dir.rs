//! `emptyDir`: on disk, in memory, or of huge pages.
//! <https://kubernetes.io/docs/concepts/storage/volumes/#emptydir>

use super::Plan;
use crate::kubelet::spec::{ConfigError, NodeFacts};
use crate::object::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, Pod};

/// Mode where the volume says none (upstream's `perm`).
const MODE_DEFAULT: u32 = 0o777;
const HUGE_PAGES: &str = "HugePages";

pub fn plan(
    pod: &Pod,
    source: &EmptyDirVolumeSource,
    node: &NodeFacts,
) -> Result<Plan, ConfigError> {
    let mode = source.mode.map_or(MODE_DEFAULT, i32::unsigned_abs) & 0o1777;
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Plan::EmptyDir { mode }),
        "Memory" => Ok(Plan::Memory {
            size_bytes: memory_bytes(pod, source, node)?,
            mode,
        }),
        medium if medium.starts_with(HUGE_PAGES) => Ok(Plan::HugePages {
            page_bytes: page_bytes(pod, medium)?,
            mode,
        }),
        medium => Err(ConfigError(format!("unknown storage medium {medium:?}"))),
    }
}

/// Upstream's `calculateEmptyDirMemorySize`: the least of the node's memory, the pod's limit and the volume's.
fn memory_bytes(
    pod: &Pod,
    source: &EmptyDirVolumeSource,
    node: &NodeFacts,
) -> Result<u64, ConfigError> {
    let own = source
        .size_limit
        .as_ref()
        .map(|q| Quantity::parse(&q.0))
        .transpose()
        .map_err(ConfigError)?
        .map(Quantity::value)
        .filter(|bytes| *bytes > 0);
    let least = [own, pod_memory_limit(pod)]
        .into_iter()
        .flatten()
        .chain([node.memory_bytes.max(1)])
        .min();
    Ok(least.unwrap_or(1).unsigned_abs())
}

/// What all containers together may use; `None` where one has no limit.
fn pod_memory_limit(pod: &Pod) -> Option<i64> {
    let spec = pod.spec.as_ref()?;
    let limit = |c: &Container| {
        let limits = c.resources.as_ref()?.limits.as_ref()?;
        let bytes = Quantity::parse(&limits.get("memory")?.0).ok()?.value();
        (bytes > 0).then_some(bytes)
    };
    let mut sum = 0_i64;
    for container in &spec.containers {
        sum = sum.saturating_add(limit(container)?);
    }
    let mut greatest = sum;
    for container in spec.init_containers.iter().flatten() {
        let own = limit(container)?;
        if crate::kubelet::pod::state::is_sidecar(container) {
            sum = sum.saturating_add(own);
            greatest = greatest.max(sum);
        } else {
            greatest = greatest.max(own);
        }
    }
    Some(greatest)
}

/// `HugePages-2Mi` names its pages; `HugePages` takes the one size the pod's containers ask for.
fn page_bytes(pod: &Pod, medium: &str) -> Result<u64, ConfigError> {
    let size = match medium.strip_prefix("HugePages-") {
        Some(size) if !size.is_empty() => size.to_string(),
        _ => requested_size(pod)?,
    };
    let bytes = Quantity::parse(&size).map_err(ConfigError)?.value();
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| ConfigError(format!("{size:?} is no size of huge pages")))
}

fn requested_size(pod: &Pod) -> Result<String, ConfigError> {
    let mut sizes: Vec<String> = crate::kubelet::pod::state::containers(pod)
        .filter_map(|(_, c)| c.resources.as_ref())
        .flat_map(|r| r.requests.iter().chain(&r.limits))
        .flat_map(|amounts| amounts.keys())
        .filter_map(|name| name.strip_prefix("hugepages-"))
        .map(str::to_string)
        .collect();
    sizes.sort();
    sizes.dedup();
    match sizes.as_slice() {
        [size] => Ok(size.clone()),
        [] => Err(ConfigError(
            "no huge pages are requested by the pod, so medium \"HugePages\" has no page size"
                .to_string(),
        )),
        [first, ..] => Err(ConfigError(format!(
            "the pod requests huge pages of {}: name one in the medium, as HugePages-{first}",
            sizes.join(" and ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn node() -> NodeFacts {
        NodeFacts {
            name: "n".to_string(),
            ip: String::new(),
            cpu_milli: 1000,
            memory_bytes: 1 << 30,
            ephemeral_storage_bytes: 1,
            ..NodeFacts::default()
        }
    }

    #[test]
    fn media_and_sizes() {
        let limited = json!({"spec": {"containers": [
            {"name": "a", "resources": {"limits": {"memory": "10Mi", "hugepages-2Mi": "4Mi"}}},
            {"name": "b", "resources": {"limits": {"memory": "20Mi"}}}],
            "initContainers": [{"name": "i", "resources": {"limits": {"memory": "5Mi"}}}]}});
        let open = json!({"spec": {"containers": [{"name": "a"}]}});
        let memory = |bytes| Plan::Memory {
            size_bytes: bytes,
            mode: 0o777,
        };
        for (pod, source, want) in [
            (&open, json!({}), Some(Plan::EmptyDir { mode: 0o777 })),
            (
                &open,
                json!({"mode": 0o1755}),
                Some(Plan::EmptyDir { mode: 0o1755 }),
            ),
            (&open, json!({"medium": "Memory"}), Some(memory(1 << 30))),
            (
                &open,
                json!({"medium": "Memory", "sizeLimit": "1Mi"}),
                Some(memory(1 << 20)),
            ),
            (
                &limited,
                json!({"medium": "Memory"}),
                Some(memory(30 << 20)),
            ),
            (
                &limited,
                json!({"medium": "Memory", "sizeLimit": "40Mi"}),
                Some(memory(30 << 20)),
            ),
            (
                &limited,
                json!({"medium": "HugePages"}),
                Some(Plan::HugePages {
                    page_bytes: 2 << 20,
                    mode: 0o777,
                }),
            ),
            (
                &open,
                json!({"medium": "HugePages-1Gi"}),
                Some(Plan::HugePages {
                    page_bytes: 1 << 30,
                    mode: 0o777,
                }),
            ),
            (&open, json!({"medium": "HugePages"}), None),
            (&open, json!({"medium": "HugePages-x"}), None),
            (&open, json!({"medium": "Tape"}), None),
        ] {
            let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
            let source: EmptyDirVolumeSource = serde_json::from_value(source.clone()).unwrap();
            assert_eq!(plan(&pod, &source, &node()).ok(), want, "{source:?}");
        }
    }
}
