//! The budgets of one node, measured on a real one: `cargo bench --bench node` (as root).
//!
//! Speed of the store stands in `benches/store.rs` beside etcd, a container's start in `benches/container.rs` beside runc.

#[path = "../tests/common/busybox.rs"]
mod busybox;
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "gauge/mod.rs"]
mod gauge;

use common::TestNode;
use gauge::{cpu_ticks, mib, millis, private_bytes, rss_bytes, written_bytes};
use std::time::{Duration, Instant};

/// Pods applied one after the other for the latency figures.
const APPLIES: usize = 40;
/// Pods at once.
const FIFTY: usize = 50;

fn main() {
    if !common::is_root() {
        println!("benches/node needs root: it starts real containers. NOT RUN.");
        return;
    }
    let mut node = TestNode::prepare();
    let mut rows: Vec<(String, String, &str)> = Vec::new();
    node.up();
    node.stop();
    rows.push((
        "process start to Ready, existing data".into(),
        millis(start_to_ready(&mut node)),
        "≤ 500 ms",
    ));

    let pid = node.pid();
    settle(&node);
    rows.push(("RSS of the node, idle".into(), mib(rss_bytes(pid)), ""));

    let mut latencies: Vec<Duration> = (0..APPLIES)
        .map(|number| apply_to_running(&node, number))
        .collect();
    latencies.sort();
    rows.push((
        "apply to Running, p50".into(),
        millis(latencies[APPLIES / 2]),
        "≤ 100 ms",
    ));
    rows.push((
        "apply to Running, p99".into(),
        millis(latencies[APPLIES * 99 / 100]),
        "≤ 250 ms",
    ));
    node.kubectl(&["delete", "pods", "--all", "--grace-period=1"])
        .must();

    for number in 0..10 {
        apply_to_running(&node, 1000 + number);
    }
    settle(&node);
    rows.push((
        "RSS of the node, 10 pods".into(),
        mib(rss_bytes(pid)),
        "≤ 32 MiB",
    ));
    let shims = shim_pids(&node);
    let private: u64 =
        shims.iter().map(|&pid| private_bytes(pid)).sum::<u64>() / shims.len().max(1) as u64;
    rows.push((
        "private memory of a shim, mean".into(),
        mib(private),
        "≤ 0.5 MiB",
    ));

    let (before, ticks_before) = (written_bytes(pid), cpu_ticks(pid));
    let watched = Duration::from_mins(1);
    std::thread::sleep(watched);
    rows.push((
        "written to disk per minute, idle, 10 pods".into(),
        format!("{} B", written_bytes(pid) - before),
        "0 B",
    ));
    let ticks = cpu_ticks(pid) - ticks_before;
    rows.push((
        "CPU, idle, 10 pods".into(),
        format!("{:.2} % of one core", ticks as f64 / watched.as_secs_f64()),
        "≤ 0.5 %",
    ));
    node.kubectl(&["delete", "pods", "--all", "--grace-period=1"])
        .must();
    fifty(&node, &mut rows);
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_coracle")).map_or(0, |file| file.len());
    rows.push(("size of this binary".into(), mib(binary), "≤ 16 MiB"));

    println!("| what | measured | budget |\n|---|---|---|");
    for (what, measured, budget) in rows {
        println!("| {what} | {measured} | {budget} |");
    }
    node.reset().must();
}

/// Fifty pods at once, and what they cost while each is probed every 10 s: half by a command, half over HTTP.
fn fifty(node: &TestNode, rows: &mut Vec<(String, String, &str)>) {
    import_busybox(node);
    let pods: Vec<serde_json::Value> = (0..FIFTY)
        .map(|number| {
            let (image, command, handler) = if number % 2 == 0 {
                (
                    busybox::IMAGE,
                    serde_json::json!(["sh", "-c", "trap 'exit 0' TERM; sleep 36000 & wait"]),
                    serde_json::json!({"exec": {"command": ["true"]}}),
                )
            } else {
                (
                    "coracle.local/hello",
                    serde_json::Value::Null,
                    serde_json::json!({"httpGet": {"port": 8080}}),
                )
            };
            let mut probe = serde_json::json!({"periodSeconds": 10});
            json_patch::merge(&mut probe, &handler);
            serde_json::json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("fifty-{number}"), "labels": {"app": "fifty"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": image,
                    "imagePullPolicy": "IfNotPresent", "command": command, "livenessProbe": probe}]},
            })
        })
        .collect();
    rows.push((
        format!("{FIFTY} pods at once, all Running"),
        millis(all_running(node, pods)),
        "≤ 5 s",
    ));
    let pid = node.pid();
    settle(node);
    let ticks_before = cpu_ticks(pid);
    let watched = Duration::from_mins(1);
    std::thread::sleep(watched);
    let ticks = cpu_ticks(pid) - ticks_before;
    rows.push((
        format!("CPU of the node, {FIFTY} pods with a 10 s probe each"),
        format!("{:.2} % of one core", ticks as f64 / watched.as_secs_f64()),
        "≤ 2 %",
    ));
    rows.push((
        format!("RSS of the node, {FIFTY} pods"),
        mib(rss_bytes(pid)),
        "≤ 48 MiB",
    ));
    let shims = shim_pids(node);
    let most = shims.iter().map(|&pid| private_bytes(pid)).max();
    rows.push((
        format!("private memory of a shim, most of {}", shims.len()),
        mib(most.unwrap_or_default()),
        "≤ 0.5 MiB",
    ));
}

/// From the first create until a watch has seen the last pod Running.
fn all_running(node: &TestNode, pods: Vec<serde_json::Value>) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        use futures::{StreamExt, TryStreamExt};
        use k8s_openapi::api::core::v1::Pod;
        let api = pods_api(node).await;
        let list = api.list(&Default::default()).await.expect("list");
        let from = list.metadata.resource_version.expect("revision");
        let parameters = kube::api::WatchParams::default()
            .labels("app=fifty")
            .timeout(120);
        let mut events = Box::pin(api.watch(&parameters, &from).await.expect("watch"));
        let started = Instant::now();
        let creating = futures::stream::iter(pods).for_each_concurrent(8, |pod| {
            let api = api.clone();
            async move {
                let pod: Pod = serde_json::from_value(pod).expect("pod");
                api.create(&Default::default(), &pod).await.expect("create");
            }
        });
        let watching = async {
            let mut running = std::collections::BTreeSet::new();
            while running.len() < FIFTY {
                let event = events.try_next().await.expect("event");
                if let Some(
                    kube::api::WatchEvent::Added(pod) | kube::api::WatchEvent::Modified(pod),
                ) = event
                    && pod
                        .status
                        .is_some_and(|status| status.phase.as_deref() == Some("Running"))
                {
                    running.extend(pod.metadata.name);
                }
            }
        };
        tokio::join!(creating, watching);
        started.elapsed()
    })
}

async fn pods_api(node: &TestNode) -> kube::Api<k8s_openapi::api::core::v1::Pod> {
    let kubeconfig = kube::config::Kubeconfig::read_from(node.kubeconfig()).expect("kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .expect("config");
    kube::Api::default_namespaced(kube::Client::try_from(config).expect("client"))
}

fn import_busybox(node: &TestNode) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let archive = directory.path().join("busybox.tar");
    busybox::write_archive(&archive);
    node.coracle(&["image", "import", &archive.to_string_lossy()])
        .must();
}

fn start_to_ready(node: &mut TestNode) -> Duration {
    let started = Instant::now();
    node.up();
    started.elapsed()
}

/// From the API's answer to a create until the watch shows the pod Running: no client's start-up is in it.
fn apply_to_running(node: &TestNode, number: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        use futures::TryStreamExt;
        use k8s_openapi::api::core::v1::Pod;
        let pods = pods_api(node).await;
        // The connection is made before the clock starts.
        let list = pods.list(&Default::default()).await.expect("list");
        let name = format!("timed-{number}");
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "main", "image": "coracle.local/hello", "imagePullPolicy": "IfNotPresent"}]},
        }))
        .expect("pod");
        let parameters = kube::api::WatchParams::default().fields(&format!("metadata.name={name}")).timeout(60);
        let from = list.metadata.resource_version.expect("revision");
        let started = Instant::now();
        pods.create(&Default::default(), &pod).await.expect("create");
        let mut events = Box::pin(pods.watch(&parameters, &from).await.expect("watch"));
        while let Some(event) = events.try_next().await.expect("event") {
            if let kube::api::WatchEvent::Added(pod) | kube::api::WatchEvent::Modified(pod) = event
                && pod.status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
            {
                return started.elapsed();
            }
        }
        panic!("{name} did not run:\n{}", common::tail(&node.log(), 40));
    })
}

/// Until start-up writes and images are done: CPU time stands still between two looks.
fn settle(node: &TestNode) {
    let pid = node.pid();
    let mut last = u64::MAX;
    common::eventually(|| {
        let now = cpu_ticks(pid);
        let still = now == last;
        last = now;
        std::thread::sleep(Duration::from_millis(500));
        still
    });
}

fn shim_pids(node: &TestNode) -> Vec<u32> {
    let run_dir = node.run_dir().to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("\0shim\0") && line.contains(&run_dir)
        })
        .collect()
}
