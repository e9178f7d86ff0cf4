//! `/metrics/resource`: the little that autoscalers want.
//! <https://kubernetes.io/docs/reference/instrumentation/node-metrics/>

use super::pages::Reading;
use super::pages::Value::{self, Count, Time};
use super::types::{ContainerUsage, Sample};
use crate::exposition::Kind::{Counter, Gauge};
use crate::exposition::{Kind, Page, Seconds};

/// The page.
pub fn resource(sample: &Sample) -> String {
    let at = Some(sample.at_ms);
    let mut page = Page::default();
    page.family(
        "node_cpu_usage_seconds_total",
        Counter,
        "Cumulative cpu time consumed by the node in core-seconds",
    )
    .sample_at(&[], Seconds(sample.node.cpu_ns), at);
    for (name, help, value) in [
        (
            "node_memory_working_set_bytes",
            "Current working set of the node in bytes",
            sample.node.memory.working_set(),
        ),
        (
            "node_swap_usage_bytes",
            "Current swap usage of the node in bytes. Reported only on non-windows systems",
            sample.node.memory.swap_usage(),
        ),
    ] {
        page.family(name, Gauge, help).sample_at(&[], value, at);
    }
    let pods: [(&'static str, Kind, &str, Reading); 3] = [
        (
            "pod_cpu_usage_seconds_total",
            Counter,
            "Cumulative cpu time consumed by the pod in core-seconds",
            |u| Time(u.cpu_ns),
        ),
        (
            "pod_memory_working_set_bytes",
            Gauge,
            "Current working set of the pod in bytes",
            |u| Count(u.working_set_bytes()),
        ),
        (
            "pod_swap_usage_bytes",
            Gauge,
            "Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
            |u| Count(u.swap_bytes),
        ),
    ];
    for (name, kind, help, reading) in pods {
        page.family(name, kind, help);
        for pod in &sample.pods {
            let labels = [("namespace", pod.namespace.as_str()), ("pod", &pod.name)];
            page.sample_at(&labels, reading(&pod.usage), at);
        }
    }
    type OfContainer = fn(&ContainerUsage) -> Value;
    let containers: [(&'static str, Kind, &str, OfContainer); 4] = [
        (
            "container_cpu_usage_seconds_total",
            Counter,
            "Cumulative cpu time consumed by the container in core-seconds",
            |c| Time(c.usage.cpu_ns),
        ),
        (
            "container_memory_working_set_bytes",
            Gauge,
            "Current working set of the container in bytes",
            |c| Count(c.usage.working_set_bytes()),
        ),
        (
            "container_swap_usage_bytes",
            Gauge,
            "Current amount of the container swap usage in bytes. Reported only on non-windows systems",
            |c| Count(c.usage.swap_bytes),
        ),
        (
            "container_start_time_seconds",
            Gauge,
            "Start time of the container since unix epoch in seconds",
            |c| Count(u64::try_from(c.started_ms / 1000).unwrap_or(0)),
        ),
    ];
    for (name, kind, help, reading) in containers {
        page.family(name, kind, help);
        for pod in &sample.pods {
            for container in &pod.containers {
                let labels = [
                    ("container", container.name.as_str()),
                    ("namespace", &pod.namespace),
                    ("pod", &pod.name),
                ];
                page.sample_at(&labels, reading(container), at);
            }
        }
    }
    page.family(
        "resource_scrape_error",
        Gauge,
        "1 if there was an error while getting container metrics, 0 otherwise",
    )
    .sample(&[], 0);
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::super::pages::tests::sample;
    use super::*;

    #[test]
    fn the_resource_page() {
        let text = resource(&sample());
        for line in [
            "pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 1.500000000 5000",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\"} 10 5000",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
