//! `/metrics/cadvisor`, with cAdvisor's names.
//! <https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md>

use super::summary::PodDisks;
use super::types::{ContainerUsage, Interface, PodUsage, Sample};
use crate::exposition::Kind::{Counter, Gauge};
use crate::exposition::{Kind, Page, Seconds};
use crate::runtime::CgroupUsage;

/// What a family is read from.
pub(super) type Reading = fn(&CgroupUsage) -> Value;

/// A number as it is printed.
pub(super) enum Value {
    Count(u64),
    Time(u64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Count(count) => write!(formatter, "{count}"),
            Value::Time(ns) => write!(formatter, "{}", Seconds(*ns)),
        }
    }
}

use Value::{Count, Time};

/// Families of containers, pods and all pods together.
const FAMILIES: &[(&str, Kind, &str, Reading)] = &[
    (
        "container_cpu_user_seconds_total",
        Counter,
        "Cumulative user cpu time consumed in seconds.",
        |u| Time(u.cpu_user_ns),
    ),
    (
        "container_cpu_system_seconds_total",
        Counter,
        "Cumulative system cpu time consumed in seconds.",
        |u| Time(u.cpu_system_ns),
    ),
    (
        "container_cpu_cfs_periods_total",
        Counter,
        "Number of elapsed enforcement period intervals.",
        |u| Count(u.cpu_periods),
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        Counter,
        "Number of throttled period intervals.",
        |u| Count(u.cpu_throttled_periods),
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        Counter,
        "Total time duration the container has been throttled.",
        |u| Time(u.cpu_throttled_ns),
    ),
    (
        "container_memory_usage_bytes",
        Gauge,
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |u| Count(u.memory_bytes),
    ),
    (
        "container_memory_max_usage_bytes",
        Gauge,
        "Maximum memory usage recorded in bytes",
        |u| Count(u.memory_max_bytes),
    ),
    (
        "container_memory_working_set_bytes",
        Gauge,
        "Current working set in bytes.",
        |u| Count(u.working_set_bytes()),
    ),
    (
        "container_memory_rss",
        Gauge,
        "Size of RSS in bytes.",
        |u| Count(u.rss_bytes),
    ),
    (
        "container_memory_cache",
        Gauge,
        "Number of bytes of page cache memory.",
        |u| Count(u.cache_bytes),
    ),
    (
        "container_memory_mapped_file",
        Gauge,
        "Size of memory mapped files in bytes.",
        |u| Count(u.mapped_bytes),
    ),
    (
        "container_memory_swap",
        Gauge,
        "Container swap usage in bytes.",
        |u| Count(u.swap_bytes),
    ),
    (
        "container_memory_failcnt",
        Counter,
        "Number of memory usage hits limits",
        |u| Count(u.memory_limit_hits),
    ),
    (
        "container_oom_events_total",
        Counter,
        "Count of out of memory events observed for the container",
        |u| Count(u.oom_kills),
    ),
    (
        "container_threads",
        Gauge,
        "Number of threads running inside the container",
        |u| Count(u.pids),
    ),
    (
        "container_threads_max",
        Gauge,
        "Maximum number of threads allowed inside the container, infinity if value is zero",
        |u| Count(u.pids_limit.unwrap_or(0)),
    ),
    (
        "container_spec_memory_limit_bytes",
        Gauge,
        "Memory limit for the container.",
        |u| Count(u.memory_limit_bytes.unwrap_or(0)),
    ),
];

type NetworkReading = fn(&Interface) -> u64;

const NETWORK: &[(&str, &str, NetworkReading)] = &[
    (
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received",
        |i| i.rx_bytes,
    ),
    (
        "container_network_receive_packets_total",
        "Cumulative count of packets received",
        |i| i.rx_packets,
    ),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        |i| i.rx_errors,
    ),
    (
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        |i| i.rx_dropped,
    ),
    (
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        |i| i.tx_bytes,
    ),
    (
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted",
        |i| i.tx_packets,
    ),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        |i| i.tx_errors,
    ),
    (
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        |i| i.tx_dropped,
    ),
];

/// The labels of one series.
type Labels<'a> = Vec<(&'static str, &'a str)>;

fn pod_labels(pod: &PodUsage) -> Labels<'_> {
    vec![
        ("container", ""),
        ("id", &pod.cgroup),
        ("image", ""),
        ("name", ""),
        ("namespace", &pod.namespace),
        ("pod", &pod.name),
    ]
}

fn container_labels<'a>(
    pod: &'a PodUsage,
    container: &'a ContainerUsage,
    cgroup: &'a str,
) -> Labels<'a> {
    vec![
        ("container", &container.name),
        ("id", cgroup),
        ("image", &container.image),
        ("name", &container.id),
        ("namespace", &pod.namespace),
        ("pod", &pod.name),
    ]
}

/// `/metrics/cadvisor`.
pub fn cadvisor(sample: &Sample, cpus: u64, disks: &[PodDisks]) -> String {
    let at = Some(sample.at_ms);
    let mut page = Page::default();
    page.family(
        "cadvisor_version_info",
        Gauge,
        "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.",
    )
    .sample(&[("cadvisorVersion", ""), ("dockerVersion", ""), ("osVersion", "")], 1);
    let cgroups: Vec<Vec<String>> = sample
        .pods
        .iter()
        .map(|pod| {
            pod.containers
                .iter()
                .map(|c| format!("{}/{}", pod.cgroup, c.id))
                .collect()
        })
        .collect();
    let mut series: Vec<(Labels<'_>, &CgroupUsage, i64)> = Vec::new();
    let root = vec![
        ("container", ""),
        ("id", "/"),
        ("image", ""),
        ("name", ""),
        ("namespace", ""),
        ("pod", ""),
    ];
    for (pod, cgroups) in sample.pods.iter().zip(&cgroups) {
        series.push((pod_labels(pod), &pod.usage, pod.started_ms));
        for (container, cgroup) in pod.containers.iter().zip(cgroups) {
            let labels = container_labels(pod, container, cgroup);
            series.push((labels, &container.usage, container.started_ms));
        }
    }
    page.family(
        "container_cpu_usage_seconds_total",
        Counter,
        "Cumulative cpu time consumed in seconds.",
    );
    let mut own = root.clone();
    own.insert(1, ("cpu", "total"));
    page.sample_at(&own, Seconds(sample.node.cpu_ns), at);
    for (labels, usage, _) in &series {
        let mut labels = labels.clone();
        labels.insert(1, ("cpu", "total"));
        page.sample_at(&labels, Seconds(usage.cpu_ns), at);
    }
    for (name, kind, help, reading) in FAMILIES {
        page.family(name, *kind, help);
        match *name {
            "container_memory_usage_bytes" => {
                page.sample_at(&root, sample.node.memory.usage(), at);
            }
            "container_memory_working_set_bytes" => {
                page.sample_at(&root, sample.node.memory.working_set(), at);
            }
            "container_memory_rss" => {
                page.sample_at(&root, sample.node.memory.rss, at);
            }
            _ => {}
        }
        for (labels, usage, _) in &series {
            page.sample_at(labels, reading(usage), at);
        }
    }
    page.family(
        "container_memory_failures_total",
        Counter,
        "Cumulative count of memory allocation failures.",
    );
    for (labels, usage, _) in &series {
        for (kind, count) in [
            ("pgfault", usage.page_faults),
            ("pgmajfault", usage.major_page_faults),
        ] {
            let mut labels = labels.clone();
            labels.insert(1, ("failure_type", kind));
            labels.push(("scope", "hierarchy"));
            page.sample_at(&labels, count, at);
        }
    }
    page.family(
        "container_start_time_seconds",
        Gauge,
        "Start time of the container since unix epoch in seconds.",
    );
    page.sample_at(&root, sample.node.started_ms / 1000, at);
    for (labels, _, started_ms) in &series {
        page.sample_at(labels, started_ms / 1000, at);
    }
    page.family(
        "container_last_seen",
        Gauge,
        "Last time a container was seen by the exporter",
    );
    for (labels, _, _) in &series {
        page.sample_at(labels, sample.at_ms / 1000, at);
    }
    disk_families(&mut page, sample, &cgroups, disks, at);
    network_families(&mut page, sample, &root, at);
    page.family("machine_cpu_cores", Gauge, "Number of logical CPU cores.")
        .sample(&[], cpus);
    page.family(
        "machine_memory_bytes",
        Gauge,
        "Amount of memory installed on the machine.",
    )
    .sample(&[], sample.node.memory.total);
    page.family(
        "machine_swap_bytes",
        Gauge,
        "Amount of swap memory available on the machine.",
    )
    .sample(&[], sample.node.memory.swap_total);
    page.family(
        "container_scrape_error",
        Gauge,
        "1 if there was an error while getting container metrics, 0 otherwise",
    )
    .sample(&[], 0);
    page.finish()
}

fn disk_families(
    page: &mut Page,
    sample: &Sample,
    cgroups: &[Vec<String>],
    disks: &[PodDisks],
    at: Option<i64>,
) {
    type OfUse = fn(&super::DiskUse) -> u64;
    let families: [(&'static str, &str, OfUse); 2] = [
        (
            "container_fs_usage_bytes",
            "Number of bytes that are consumed by the container on this filesystem.",
            |held| held.bytes,
        ),
        (
            "container_fs_inodes_used",
            "Number of inodes the container has on this filesystem.",
            |held| held.inodes,
        ),
    ];
    for (name, help, of) in families {
        page.family(name, Gauge, help);
        for (pod, cgroups) in sample.pods.iter().zip(cgroups) {
            let Some((_, disk)) = disks.iter().find(|(uid, _)| *uid == pod.uid) else {
                continue;
            };
            for (container, cgroup) in pod.containers.iter().zip(cgroups) {
                let held = disk.of_container(&container.name);
                let mut labels = container_labels(pod, container, cgroup);
                labels.insert(1, ("device", ""));
                page.sample_at(&labels, of(&held), at);
            }
        }
    }
}

fn network_families(page: &mut Page, sample: &Sample, root: &Labels<'_>, at: Option<i64>) {
    for (name, help, reading) in NETWORK {
        page.family(name, Counter, help);
        let node = sample.node.interfaces.iter().map(|i| (root.clone(), i));
        let pods = sample
            .pods
            .iter()
            .flat_map(|pod| pod.interfaces.iter().map(move |i| (pod_labels(pod), i)));
        for (mut labels, interface) in node.chain(pods) {
            // cAdvisor gives a pod's network no container label; an empty one is the same to Prometheus.
            labels.remove(0);
            labels.insert(2, ("interface", &interface.name));
            page.sample_at(&labels, reading(interface), at);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One pod with one container.
    pub fn sample() -> Sample {
        let usage = CgroupUsage {
            cpu_ns: 1_500_000_000,
            memory_bytes: 10,
            pids: 2,
            ..CgroupUsage::default()
        };
        Sample {
            at_ms: 5_000,
            pods: vec![PodUsage {
                uid: "u".into(),
                namespace: "n".into(),
                name: "p".into(),
                cgroup: "/coracle/podu".into(),
                usage,
                interfaces: vec![Interface {
                    name: "eth0".into(),
                    rx_bytes: 7,
                    ..Interface::default()
                }],
                containers: vec![ContainerUsage {
                    name: "c".into(),
                    id: "abc".into(),
                    image: "i".into(),
                    usage,
                    ..ContainerUsage::default()
                }],
                ..PodUsage::default()
            }],
            ..Sample::default()
        }
    }

    #[test]
    fn cadvisors_names_and_labels() {
        let text = cadvisor(&sample(), 4, &[]);
        for line in [
            "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",id=\"/coracle/podu/abc\",image=\"i\",name=\"abc\",namespace=\"n\",pod=\"p\"} 1.500000000 5000",
            "container_memory_working_set_bytes{container=\"\",id=\"/coracle/podu\",image=\"\",name=\"\",namespace=\"n\",pod=\"p\"} 10 5000",
            "container_network_receive_bytes_total{id=\"/coracle/podu\",image=\"\",interface=\"eth0\",name=\"\",namespace=\"n\",pod=\"p\"} 7 5000",
            "container_memory_failures_total{container=\"c\",failure_type=\"pgfault\",id=\"/coracle/podu/abc\",image=\"i\",name=\"abc\",namespace=\"n\",pod=\"p\",scope=\"hierarchy\"} 0 5000",
            "machine_cpu_cores 4",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
