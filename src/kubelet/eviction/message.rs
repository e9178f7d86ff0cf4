//! What an evicted pod's status and event say, in upstream's words (`eviction/helpers.go`).

use super::observe::Observation;
use super::threshold::{Signal, Threshold};
use crate::kubelet::stats::{PodDisk, PodUsage};
use k8s_openapi::api::core::v1::Pod;
use std::fmt::Write;

/// The node ran low; containers above their request are named.
pub fn node_low(
    threshold: &Threshold,
    observation: Option<Observation>,
    pod: &Pod,
    usage: Option<&PodUsage>,
    disk: Option<&PodDisk>,
) -> String {
    let resource = threshold.signal.resource();
    let mut message = format!("The node was low on resource: {resource}. ");
    // Writing to a String cannot fail.
    if let Some(observation) = observation {
        let amount = |value| quantity(threshold.signal, value);
        let _ = write!(
            message,
            "Threshold quantity: {}, available: {}. ",
            amount(threshold.amount.of(observation.capacity)),
            amount(observation.available)
        );
    }
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice());
    for container in containers.unwrap_or_default() {
        let used = match threshold.signal {
            Signal::MemoryAvailable => usage
                .and_then(|usage| usage.containers.iter().find(|c| c.name == container.name))
                .map(|c| c.usage.working_set_bytes()),
            Signal::NodefsAvailable | Signal::ImagefsAvailable => {
                disk.map(|disk| disk.of_container(&container.name).bytes)
            }
            _ => None,
        };
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        let request = requests.and_then(|requests| requests.get(resource));
        let request_bytes = request
            .and_then(|text| crate::object::quantity::Quantity::parse(&text.0).ok())
            .and_then(|quantity| u64::try_from(quantity.value()).ok())
            .unwrap_or(0);
        if let Some(used) = used.filter(|used| *used > request_bytes) {
            let _ = write!(
                message,
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                binary(used),
                request.map_or("0", |text| text.0.as_str()),
            );
        }
    }
    message
}

pub fn empty_dir(volume: &str, limit: &str) -> String {
    format!("Usage of EmptyDir volume \"{volume}\" exceeds the limit \"{limit}\". ")
}

pub fn container_storage(container: &str, limit: &str) -> String {
    format!("Container {container} exceeded its local ephemeral storage limit \"{limit}\". ")
}

pub fn pod_storage(limit_bytes: u64) -> String {
    format!(
        "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
        binary(limit_bytes)
    )
}

fn quantity(signal: Signal, value: u64) -> String {
    match signal {
        Signal::NodefsInodesFree | Signal::ImagefsInodesFree | Signal::PidAvailable => {
            scaled(value, 1000, &["k", "M", "G", "T", "P", "E"])
        }
        _ => binary(value),
    }
}

/// As Go's `resource.Quantity` prints a number of bytes: the largest binary suffix that loses nothing.
pub fn binary(value: u64) -> String {
    scaled(value, 1024, &["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
}

fn scaled(mut value: u64, step: u64, suffixes: &[&str]) -> String {
    let mut suffix = "";
    for next in suffixes {
        if value == 0 || !value.is_multiple_of(step) {
            break;
        }
        value /= step;
        suffix = next;
    }
    format!("{value}{suffix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::threshold::parse_hard;
    use super::*;
    use crate::kubelet::stats::ContainerUsage;
    use crate::runtime::CgroupUsage;
    use serde_json::json;

    #[test]
    fn upstreams_words() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"memory": "1Mi"}}},
            {"name": "b", "resources": {"requests": {"memory": "1Gi"}}},
            {"name": "c"}
        ]}}))
        .unwrap();
        let container = |name: &str, memory_bytes| ContainerUsage {
            name: name.to_owned(),
            usage: CgroupUsage {
                memory_bytes,
                ..CgroupUsage::default()
            },
            ..ContainerUsage::default()
        };
        let usage = PodUsage {
            containers: vec![
                container("a", 3 << 20),
                container("b", 3 << 20),
                container("c", 1025),
            ],
            ..PodUsage::default()
        };
        let threshold = parse_hard("memory.available<100Mi").unwrap()[0];
        let observation = Observation {
            available: 50 << 20,
            capacity: 1 << 30,
        };
        assert_eq!(
            node_low(&threshold, Some(observation), &pod, Some(&usage), None),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. \
             Container a was using 3Mi, request is 1Mi, has larger consumption of memory. \
             Container c was using 1025, request is 0, has larger consumption of memory. "
        );
        let inodes = parse_hard("nodefs.inodesFree<5%").unwrap()[0];
        let observation = Observation {
            available: 1_500,
            capacity: 100_000,
        };
        assert_eq!(
            node_low(&inodes, Some(observation), &pod, Some(&usage), None),
            "The node was low on resource: inodes. Threshold quantity: 5k, available: 1500. "
        );
    }
}
