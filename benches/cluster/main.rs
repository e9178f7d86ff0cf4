//! What workloads cost one node's API, controllers and scheduler: `cargo bench --bench cluster` (as root).
//!
//! A real `coracle up`, and around it nodes that are simulated by clients of the API (`fleet`). Three parts, each on a node
//! of its own; `cargo bench --bench cluster -- thousand`, `ten-thousand` or `idle` runs one.

#[path = "../../tests/common/mod.rs"]
mod common;
mod fleet;
#[path = "../gauge/mod.rs"]
mod gauge;
mod objects;

use common::TestNode;
use fleet::Fleet;
use futures::{StreamExt, TryStreamExt};
use gauge::{Rows, mib, seconds};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const THOUSAND: usize = 1000;
/// Nodes that the thousand pods are spread over.
const THOUSAND_NODES: usize = 100;
const TEN_THOUSAND: usize = 10_000;
/// Nodes of the clusters that are looked at for memory and for writes: as many as a large cluster of boards has.
const NODES: usize = 20;
const IDLE_OBJECTS: usize = 300;
const IDLE_WATCHED: Duration = Duration::from_mins(3);
/// Longest wait for any state.
const PATIENCE: Duration = Duration::from_mins(10);

fn main() {
    if !common::is_root() {
        println!("benches/cluster needs root: it starts a whole node. NOT RUN.");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    let mut rows = Rows::default();
    for (name, part) in PARTS {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            let mut node = TestNode::prepare();
            // The load is on the nodes that are simulated; the machine's own is only asked for its API.
            node.environment.push(("RUST_LOG", "warn".to_owned()));
            node.up();
            part(&runtime, &mut node, &mut rows);
            let complaints = node
                .log()
                .lines()
                .filter(|line| line.contains("WARN") || line.contains("ERROR"))
                .count();
            if complaints > 0 {
                eprintln!(
                    "the node's log has {complaints} warnings; the last:\n{}",
                    common::tail(&node.log(), 20)
                );
            }
            node.reset().must();
        }
    }
    rows.print();
}

type Part = fn(&tokio::runtime::Runtime, &mut TestNode, &mut Rows);

const PARTS: [(&str, Part); 3] = [
    ("thousand", thousand),
    ("ten-thousand", ten_thousand),
    ("idle", idle),
];

async fn client(node: &TestNode) -> kube::Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(node.kubeconfig()).expect("kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .expect("config");
    kube::Client::try_from(config).expect("client")
}

/// Until the node's process has little to do: less than 2 % of a core in a second, three times.
async fn settle(pid: u32) {
    let mut quiet = 0;
    while quiet < 3 {
        let before = gauge::cpu_ticks(pid);
        tokio::time::sleep(Duration::from_secs(1)).await;
        quiet = if gauge::cpu_ticks(pid) - before <= 2 {
            quiet + 1
        } else {
            0
        };
    }
}

/// Requests that the API has answered: verb, resource and subresource to number.
async fn requests(client: &kube::Client) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics")
        .body(Vec::new())
        .expect("request");
    let page = client.request_text(request).await.expect("metrics");
    let mut counts = BTreeMap::new();
    for line in page.lines() {
        let Some(labels) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let label = |name: &str| {
            let rest = labels.split(&format!("{name}=\"")).nth(1);
            rest.and_then(|rest| rest.split('"').next())
                .unwrap_or_default()
        };
        let what = format!(
            "{} {}/{}",
            label("verb"),
            label("resource"),
            label("subresource")
        );
        let count = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        *counts.entry(what).or_default() += count.unwrap_or_default() as u64;
    }
    counts
}

/// What a phase cost, from its begin on.
struct Meter<'a> {
    client: &'a kube::Client,
    pid: u32,
    requests: BTreeMap<String, u64>,
    written: u64,
    ticks: u64,
    began: Instant,
}

impl Meter<'_> {
    async fn start(client: &kube::Client, pid: u32) -> Meter<'_> {
        gauge::forget_peak(pid);
        Meter {
            client,
            pid,
            requests: requests(client).await,
            written: gauge::written_bytes(pid),
            ticks: gauge::cpu_ticks(pid),
            began: Instant::now(),
        }
    }

    async fn finish(self, rows: &mut Rows, what: &str) {
        settle(self.pid).await;
        let mut now = requests(self.client).await;
        for (name, count) in &mut now {
            *count -= self.requests.get(name).copied().unwrap_or_default();
        }
        let sum: u64 = now.values().sum();
        let mut most: Vec<_> = now.into_iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let most: Vec<String> = most
            .iter()
            .take(6)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        rows.push(
            format!("{what}: requests to the API"),
            format!("{sum} ({})", most.join(", ")),
            "",
        );
        rows.push(
            format!("{what}: written to disk"),
            mib(gauge::written_bytes(self.pid) - self.written),
            "",
        );
        let ticks = gauge::cpu_ticks(self.pid) - self.ticks;
        rows.push(
            format!("{what}: CPU time of the node's process"),
            format!("{:.1} s", ticks as f64 / 100.0),
            "",
        );
        rows.push(
            format!("{what}: highest RSS of the node's process"),
            mib(gauge::peak_bytes(self.pid)),
            "",
        );
    }
}

/// A Deployment of a thousand pods over a hundred nodes: made, updated, deleted.
fn thousand(runtime: &tokio::runtime::Runtime, node: &mut TestNode, rows: &mut Rows) {
    let pid = node.pid();
    runtime.block_on(async {
        let client = client(node).await;
        let _fleet = Fleet::start(&client, THOUSAND_NODES).await;
        settle(pid).await;
        let what = format!("Deployment of {THOUSAND} pods, {THOUSAND_NODES} nodes");
        let meter = Meter::start(&client, pid).await;
        let watching = tokio::spawn(bound_and_ready(client.clone(), meter.began));
        objects::create(
            &client,
            [objects::deployment("default", "thousand", THOUSAND)],
        )
        .await;
        let (bound, ready) = watching.await.expect("watch");
        rows.push(format!("{what}: all bound"), seconds(bound), "");
        rows.push(format!("{what}: all Ready"), seconds(ready), "");
        rows.push(
            format!("{what}: status says so"),
            seconds(rolled_out(&client, meter.began).await),
            "",
        );
        meter.finish(rows, &what).await;

        let what = "rolling update of them";
        let meter = Meter::start(&client, pid).await;
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        let image =
            json!({"spec": {"template": objects::template("thousand", "registry.example/app:2")}});
        let patch = Patch::Merge(&image);
        let parameters = PatchParams::default();
        deployments
            .patch("thousand", &parameters, &patch)
            .await
            .expect("update");
        rows.push(
            format!("{what}: complete"),
            seconds(rolled_out(&client, meter.began).await),
            "",
        );
        meter.finish(rows, what).await;

        let what = "the Deployment deleted";
        let meter = Meter::start(&client, pid).await;
        deployments
            .delete("thousand", &Default::default())
            .await
            .expect("delete");
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        let one = ListParams::default().labels("app=thousand").limit(1);
        while !pods.list(&one).await.expect("pods").items.is_empty() {
            assert!(meter.began.elapsed() < PATIENCE, "pods are left");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        rows.push(
            format!("{what}: no pod left"),
            seconds(meter.began.elapsed()),
            "",
        );
        meter.finish(rows, what).await;
    });
}

/// When a watch has seen the last of the pods with a node, and the last Ready.
async fn bound_and_ready(client: kube::Client, began: Instant) -> (Duration, Duration) {
    let pods: Api<Pod> = Api::default_namespaced(client);
    let (mut bound, mut ready) = (BTreeSet::new(), BTreeSet::new());
    let mut all_bound = None;
    let parameters = WatchParams::default().labels("app=thousand").timeout(290);
    let mut events = Box::pin(pods.watch(&parameters, "0").await.expect("watch"));
    while let Some(event) = events.try_next().await.expect("event") {
        let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event else {
            continue;
        };
        let name = pod.metadata.name.unwrap_or_default();
        if pod.spec.is_some_and(|spec| spec.node_name.is_some()) {
            bound.insert(name.clone());
        }
        let conditions = pod
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        if conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
        {
            ready.insert(name);
        }
        if bound.len() == THOUSAND && all_bound.is_none() {
            all_bound = Some(began.elapsed());
        }
        if ready.len() == THOUSAND {
            return (all_bound.unwrap_or_default(), began.elapsed());
        }
    }
    panic!(
        "{} bound, {} Ready when the watch ended",
        bound.len(),
        ready.len()
    );
}

/// As `kubectl rollout status` sees it.
async fn rolled_out(client: &kube::Client, began: Instant) -> Duration {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    loop {
        let deployment = deployments.get("thousand").await.expect("Deployment");
        let status = deployment.status.unwrap_or_default();
        let all = Some(THOUSAND as i32);
        if status.observed_generation == deployment.metadata.generation
            && (
                status.replicas,
                status.updated_replicas,
                status.available_replicas,
            ) == (all, all, all)
        {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "not rolled out: {status:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ten thousand objects of many kinds, most of them made by controllers.
fn ten_thousand(runtime: &tokio::runtime::Runtime, node: &mut TestNode, rows: &mut Rows) {
    const APPS: usize = 300;
    const PODS_EACH: usize = 5;
    const NAMESPACES: usize = 20;
    let what = "10,000 objects";
    let pid = node.pid();
    let place = |app: usize| format!("team-{}", app % NAMESPACES);
    let names = |app: usize| format!("app-{app}");
    let fleet = runtime.block_on(async {
        let client = client(node).await;
        settle(pid).await;
        rows.push("RSS of the node's process, nothing stored", memory(pid), "");
        let fleet = Fleet::start(&client, NODES).await;
        objects::create(&client, (0..NAMESPACES).map(|n| objects::namespace(&format!("team-{n}")))).await;
        let began = Instant::now();
        objects::create(&client, (0..APPS).map(|app| objects::service(&place(app), &names(app)))).await;
        // Two revisions each: the old ReplicaSet stays for a rollback.
        objects::create(&client, (0..APPS).map(|app| objects::deployment(&place(app), &names(app), 0))).await;
        settle(pid).await;
        let update = json!({"spec": {"replicas": PODS_EACH, "template": objects::template("", "registry.example/app:2")}});
        futures::stream::iter(0..APPS)
            .for_each_concurrent(8, |app| {
                let deployments: Api<Deployment> = Api::namespaced(client.clone(), &place(app));
                let mut update = update.clone();
                update["spec"]["template"]["metadata"]["labels"]["app"] = names(app).into();
                async move {
                    let patch = Patch::Merge(&update);
                    deployments.patch(&names(app), &PatchParams::default(), &patch).await.expect("update");
                }
            })
            .await;
        let pods: Api<Pod> = Api::all(client.clone());
        let running = ListParams::default().labels("tier=backend").fields("status.phase=Running");
        while pods.list_metadata(&running).await.expect("pods").items.len() < APPS * PODS_EACH {
            assert!(began.elapsed() < PATIENCE, "not all pods run");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        settle(pid).await;
        let there = objects::stored(&client).await.count();
        let rest = TEN_THOUSAND.saturating_sub(there);
        objects::create(&client, (0..rest).map(|number| {
            let (namespace, name) = (place(number), format!("settings-{number}"));
            if number % 2 == 0 { objects::config_map(&namespace, &name) } else { objects::secret(&namespace, &name) }
        }))
        .await;
        settle(pid).await;
        let stored = objects::stored(&client).await;
        rows.push(format!("{what}: which"), format!("{}; {} as JSON", stored.by_kind(), mib(stored.bytes as u64)), "");
        rows.push(format!("{what}: highest RSS while they were made"), mib(gauge::peak_bytes(pid)), "");
        tokio::time::sleep(Duration::from_mins(1)).await;
        rows.push(format!("{what}: RSS of the node's process a minute after"), memory(pid), "≤ 64 MiB");
        fleet
    });
    drop(fleet);
    node.stop();
    node.up();
    let pid = node.pid();
    runtime.block_on(async {
        let client = client(node).await;
        let _fleet = Fleet::start(&client, NODES).await;
        settle(pid).await;
        rows.push(
            format!("{what}: highest RSS while a new process started"),
            mib(gauge::peak_bytes(pid)),
            "",
        );
        tokio::time::sleep(Duration::from_mins(1)).await;
        rows.push(
            format!("{what}: RSS of a new process after a minute"),
            memory(pid),
            "≤ 64 MiB",
        );
    });
}

fn memory(pid: u32) -> String {
    format!(
        "{} ({} of it not from files)",
        mib(gauge::rss_bytes(pid)),
        mib(gauge::anonymous_bytes(pid))
    )
}

/// Three hundred objects, and nobody who changes any; nodes renew their leases, an autoscaler looks at what its pods use.
fn idle(runtime: &tokio::runtime::Runtime, node: &mut TestNode, rows: &mut Rows) {
    const APPS: usize = 12;
    let namespaces = ["default", "shop", "office"];
    let place = |app: usize| namespaces[app % namespaces.len()];
    let names = |app: usize| format!("app-{app}");
    let pid = node.pid();
    runtime.block_on(async {
        let client = client(node).await;
        let _fleet = Fleet::start(&client, NODES).await;
        objects::create(&client, namespaces[1..].iter().map(|name| objects::namespace(name))).await;
        let mut all: Vec<Value> = Vec::new();
        for app in 0..APPS {
            all.push(objects::service(place(app), &names(app)));
            all.push(objects::deployment(place(app), &names(app), 3));
            all.push(objects::budget(place(app), &names(app)));
        }
        all.push(objects::workload("StatefulSet", "shop", "database", 3));
        all.push(objects::service("shop", "database"));
        all.push(objects::workload("DaemonSet", "office", "agent", 0));
        all.push(objects::cron_job("office", "backup"));
        // Of pods that really run: those of simulated nodes nobody can measure, which its events would say again and again.
        all.push(objects::autoscaler("default", "real", 3));
        let mut real = objects::deployment("default", "real", 1);
        real["spec"]["template"] = json!({
            "metadata": {"labels": {"app": "real"}},
            "spec": {"nodeName": node.name, "terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "coracle.local/hello",
                "imagePullPolicy": "IfNotPresent", "resources": {"requests": {"cpu": "50m"}}}]}});
        all.push(real);
        objects::create(&client, all).await;
        settle(pid).await;
        let rest = IDLE_OBJECTS.saturating_sub(objects::stored(&client).await.count());
        objects::create(&client, (0..rest).map(|n| objects::config_map(place(n), &format!("settings-{n}")))).await;
        // What was created is followed by some more writes: statuses, and the store's own from its log.
        settle(pid).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let before = objects::stored(&client).await;
        let (written, ticks, began) = (gauge::written_bytes(pid), gauge::cpu_ticks(pid), Instant::now());
        tokio::time::sleep(IDLE_WATCHED).await;
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        let written = gauge::written_bytes(pid) - written;
        let ticks = gauge::cpu_ticks(pid) - ticks;
        let after = objects::stored(&client).await;
        let what = format!("idle, {} objects, {NODES} nodes, {:.0} minutes", before.count(), minutes);
        eprintln!("{}", before.by_kind());
        rows.push(format!("{what}: written to disk per minute"), format!("{:.0} B", written as f64 / minutes), "0 B");
        let writes = (after.revision - before.revision) as f64;
        rows.push(format!("{what}: writes per minute"), format!("{:.1}", writes / minutes), "0");
        rows.push(format!("{what}: CPU"), format!("{:.2} % of one core", ticks as f64 / (minutes * 60.0)), "");
        for changed in after.changes(&before) {
            eprintln!("changed while idle: {changed}");
        }
    });
}
