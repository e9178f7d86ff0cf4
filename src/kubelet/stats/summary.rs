//! `/stats/summary` (`stats/v1alpha1`): what upstream's kubelet answers, from a sample.
//! <https://kubernetes.io/docs/reference/instrumentation/node-metrics/>

use super::disk::DiskUse;
use super::files::Filesystem;
use super::types::{Interface, PodDisk, PodUsage, Sample};
use crate::runtime::CgroupUsage;
use serde_json::{Map, Value, json};

/// Filesystems of a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disks {
    /// Of pods' directories.
    pub node: Filesystem,
    /// Of images.
    pub images: Filesystem,
    /// Bytes of all images.
    pub image_bytes: u64,
}

/// Milliseconds since the epoch as RFC 3339, whole seconds.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

/// The document. `disks` is `None` where the request only asks for CPU and memory.
pub fn summary(node_name: &str, sample: &Sample, disks: Option<(&Disks, &[PodDisks])>) -> Value {
    let time = rfc3339(sample.at_ms);
    let node = &sample.node;
    let memory = &node.memory;
    let mut node_value = json!({
        "nodeName": node_name,
        "systemContainers": [{
            "name": "pods",
            "startTime": rfc3339(node.started_ms),
            "cpu": cpu(&time, node.pods.cpu_ns, node.pods_cpu_rate),
            "memory": cgroup_memory(&time, &node.pods),
        }],
        "startTime": rfc3339(node.started_ms),
        "cpu": cpu(&time, node.cpu_ns, node.cpu_rate),
        "memory": {
            "time": time,
            "availableBytes": memory.available(),
            "usageBytes": memory.usage(),
            "workingSetBytes": memory.working_set(),
            "rssBytes": memory.rss,
            "pageFaults": node.page_faults,
            "majorPageFaults": node.major_page_faults,
        },
        "swap": {
            "time": time,
            "swapAvailableBytes": memory.swap_free,
            "swapUsageBytes": memory.swap_usage(),
        },
    });
    if let Some((disks, _)) = disks {
        node_value["network"] = network(&time, &node.interfaces);
        node_value["fs"] = filesystem(&time, &disks.node, None);
        let image_use = DiskUse {
            bytes: disks.image_bytes,
            inodes: 0,
        };
        node_value["runtime"] = json!({
            "imageFs": filesystem(&time, &disks.images, Some(image_use)),
            "containerFs": filesystem(&time, &disks.node, None),
        });
        node_value["rlimit"] = json!({"time": time, "maxpid": node.pids_max, "curproc": node.pids});
    }
    let pods: Vec<Value> = sample
        .pods
        .iter()
        .map(|one| {
            let disk = disks.map(|(disks, by_pod)| {
                let found = by_pod.iter().find(|(uid, _)| *uid == one.uid);
                (disks, found.map(|(_, disk)| disk.as_ref()))
            });
            pod(&time, one, disk)
        })
        .collect();
    // Not upstream's: metrics.k8s.io says over what time its rates are the mean, and this is where that is known.
    let window = format!(
        "{}.{:03}s",
        sample.window_ms / 1000,
        sample.window_ms % 1000
    );
    json!({"node": node_value, "pods": pods, "window": window})
}

/// A pod's uid and its disk.
pub type PodDisks = (String, std::sync::Arc<PodDisk>);

fn pod(time: &str, pod: &PodUsage, disk: Option<(&Disks, Option<&PodDisk>)>) -> Value {
    let containers: Vec<Value> = pod
        .containers
        .iter()
        .map(|container| {
            let mut value = json!({
                "name": container.name,
                "startTime": rfc3339(container.started_ms),
                "cpu": cpu(time, container.usage.cpu_ns, container.cpu_rate),
                "memory": cgroup_memory(time, &container.usage),
                "swap": {"time": time, "swapUsageBytes": container.usage.swap_bytes},
            });
            if let Some((disks, Some(disk))) = disk {
                let of = |list: &std::collections::BTreeMap<String, DiskUse>| {
                    list.get(&container.name).copied().unwrap_or_default()
                };
                value["rootfs"] = filesystem(time, &disks.node, Some(of(&disk.root_fs)));
                value["logs"] = filesystem(time, &disks.node, Some(of(&disk.logs)));
            }
            value
        })
        .collect();
    let mut value = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": rfc3339(pod.started_ms),
        "containers": containers,
        "cpu": cpu(time, pod.usage.cpu_ns, pod.cpu_rate),
        "memory": cgroup_memory(time, &pod.usage),
        "swap": {"time": time, "swapUsageBytes": pod.usage.swap_bytes},
        "process_stats": {"process_count": pod.usage.pids},
    });
    if let Some((disks, found)) = disk {
        if !pod.interfaces.is_empty() {
            value["network"] = network(time, &pod.interfaces);
        }
        if let Some(found) = found {
            let volumes: Vec<Value> = found
                .volumes
                .iter()
                .chain(&found.memory_volumes)
                .map(|(name, held)| {
                    let mut volume = filesystem(time, &disks.node, Some(*held));
                    volume["name"] = name.as_str().into();
                    volume
                })
                .collect();
            value["volume"] = volumes.into();
            value["ephemeral-storage"] = filesystem(time, &disks.node, Some(found.total()));
        }
    }
    value
}

fn cpu(time: &str, total_ns: u64, rate: Option<u64>) -> Value {
    let mut value = json!({"time": time, "usageCoreNanoSeconds": total_ns});
    if let Some(rate) = rate {
        value["usageNanoCores"] = rate.into();
    }
    value
}

fn cgroup_memory(time: &str, usage: &CgroupUsage) -> Value {
    let mut value = json!({
        "time": time,
        "usageBytes": usage.memory_bytes,
        "workingSetBytes": usage.working_set_bytes(),
        "rssBytes": usage.rss_bytes,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    });
    if let Some(limit) = usage.memory_limit_bytes {
        value["availableBytes"] = limit.saturating_sub(usage.working_set_bytes()).into();
    }
    value
}

/// `held`: by whom this is about; the filesystem's own figures where `None`.
fn filesystem(time: &str, disk: &Filesystem, held: Option<DiskUse>) -> Value {
    json!({
        "time": time,
        "availableBytes": disk.available_bytes,
        "capacityBytes": disk.capacity_bytes,
        "usedBytes": held.map_or(disk.used_bytes, |held| held.bytes),
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": held.map_or(disk.inodes.saturating_sub(disk.inodes_free), |held| held.inodes),
    })
}

fn network(time: &str, interfaces: &[Interface]) -> Value {
    let one = |interface: &Interface| -> Map<String, Value> {
        [
            ("name", Value::from(interface.name.as_str())),
            ("rxBytes", interface.rx_bytes.into()),
            ("rxErrors", interface.rx_errors.into()),
            ("txBytes", interface.tx_bytes.into()),
            ("txErrors", interface.tx_errors.into()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    };
    // The first is the one others reach it by; upstream takes eth0 for that.
    let main = interfaces
        .iter()
        .find(|interface| interface.name == "eth0")
        .or(interfaces.first());
    let mut value = main.map(one).unwrap_or_default();
    value.insert("time".to_owned(), time.into());
    let all: Vec<Value> = interfaces.iter().map(|i| one(i).into()).collect();
    value.insert("interfaces".to_owned(), all.into());
    value.into()
}

#[cfg(test)]
mod tests {
    use super::super::types::ContainerUsage;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_document_has_upstreams_fields() {
        let usage = CgroupUsage {
            cpu_ns: 7,
            memory_bytes: 100,
            inactive_file_bytes: 30,
            memory_limit_bytes: Some(200),
            pids: 4,
            ..CgroupUsage::default()
        };
        let sample = Sample {
            pods: vec![PodUsage {
                uid: "u".into(),
                namespace: "n".into(),
                name: "p".into(),
                usage,
                interfaces: vec![Interface {
                    name: "eth0".into(),
                    rx_bytes: 5,
                    ..Interface::default()
                }],
                containers: vec![ContainerUsage {
                    name: "c".into(),
                    usage,
                    cpu_rate: Some(9),
                    ..ContainerUsage::default()
                }],
                ..PodUsage::default()
            }],
            ..Sample::default()
        };
        let short = summary("node", &sample, None);
        assert_eq!(short["node"]["nodeName"], "node");
        let container = &short["pods"][0]["containers"][0];
        assert_eq!(container["cpu"]["usageNanoCores"], 9);
        assert_eq!(container["memory"]["workingSetBytes"], 70);
        assert_eq!(container["memory"]["availableBytes"], 130);
        assert!(short["pods"][0].get("network").is_none());
        let held = DiskUse {
            bytes: 11,
            inodes: 2,
        };
        let disk = PodDisk {
            root_fs: [("c".to_owned(), held)].into(),
            logs: [("c".to_owned(), held)].into(),
            volumes: [("v".to_owned(), held)].into(),
            ..PodDisk::default()
        };
        let full = summary(
            "node",
            &sample,
            Some((&Disks::default(), &[("u".to_owned(), Arc::new(disk))])),
        );
        let pod = &full["pods"][0];
        assert_eq!(pod["network"]["rxBytes"], 5);
        assert_eq!(pod["ephemeral-storage"]["usedBytes"], 33);
        assert_eq!(pod["containers"][0]["logs"]["usedBytes"], 11);
        assert_eq!(pod["volume"][0]["name"], "v");
        assert_eq!(pod["process_stats"]["process_count"], 4);
    }
}
