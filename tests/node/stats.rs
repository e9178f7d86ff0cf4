//! What a node says of its pods' use: summary, pages for Prometheus, `kubectl top`.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually, run};
use crate::namespace;
use base64::Engine;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub const TESTS: &[(&str, fn())] = &[
    (
        "the_summary_agrees_with_the_cgroup",
        the_summary_agrees_with_the_cgroup,
    ),
    ("kubectl_top", kubectl_top),
    ("prometheus_scrapes_the_node", prometheus_scrapes_the_node),
];

/// A pod that keeps one container busy and another idle.
fn busy_pod(namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: busy, namespace: {namespace}, labels: {{app: busy}}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: worker\n    image: {IMAGE}\n    resources: {{limits: {{cpu: 200m, memory: 64Mi}}}}\n    command: [sh, -c, 'dd if=/dev/zero of=/layer bs=1M count=3; while true; do :; done']\n  - name: idler\n    image: {IMAGE}\n    command: [sleep, '3600']\n"
    )
}

fn proxy(node: &TestNode, path: &str) -> String {
    let path = format!("/api/v1/nodes/{}/proxy/{path}", node.name);
    node.kubectl(&["get", "--raw", &path]).must().stdout
}

fn summary(node: &TestNode) -> serde_json::Value {
    serde_json::from_str(&proxy(node, "stats/summary")).expect("JSON")
}

/// Of one pod in a summary.
fn pod_of(summary: &serde_json::Value, namespace: &str) -> serde_json::Value {
    let pods = summary["pods"].as_array().expect("pods");
    let found = pods
        .iter()
        .find(|pod| pod["podRef"]["namespace"] == namespace);
    found.cloned().unwrap_or_default()
}

/// A file of the pod's own cgroup, whichever version this machine has.
fn cgroup_number(node: &TestNode, uid: &str, candidates: &[&str]) -> u64 {
    let root = format!("coracle-{}", node.name);
    let text = candidates
        .iter()
        .map(|candidate| {
            let (controller, file) = candidate.split_once('/').unwrap_or(("", candidate));
            let directory = Path::new("/sys/fs/cgroup").join(controller).join(&root);
            directory.join(format!("burstable/pod{uid}")).join(file)
        })
        .find_map(|path: PathBuf| std::fs::read_to_string(path).ok())
        .expect("the pod's cgroup");
    text.trim().parse().expect("a number")
}

fn the_summary_agrees_with_the_cgroup() {
    let node = namespace("summary");
    node.apply(&busy_pod("summary"));
    node.wait_for("summary", "pod/busy", "{.status.phase}", "Running");
    let uid = node.value("summary", "pod/busy", "{.metadata.uid}");
    let mut found = serde_json::Value::Null;
    let complete = eventually(|| {
        found = summary(&node);
        let pod = pod_of(&found, "summary");
        let worker = &pod["containers"][1];
        worker["cpu"]["usageNanoCores"]
            .as_u64()
            .is_some_and(|rate| rate > 50_000_000)
            && worker["rootfs"]["usedBytes"]
                .as_u64()
                .is_some_and(|bytes| bytes >= 3 << 20)
    });
    assert!(complete, "{found:#}");
    let pod = pod_of(&found, "summary");
    let worker = &pod["containers"][1];
    assert_eq!(worker["name"], "worker");
    // It may use a fifth of a CPU.
    let rate = worker["cpu"]["usageNanoCores"].as_u64().unwrap_or(0);
    assert!(rate < 400_000_000, "{worker:#}");
    let idler = &pod["containers"][0]["cpu"]["usageNanoCores"];
    assert!(idler.as_u64().is_some_and(|idle| idle < rate), "{pod:#}");
    let used_now = cgroup_number(
        &node,
        &uid,
        &["memory/memory.usage_in_bytes", "memory.current"],
    );
    let told = pod["memory"]["usageBytes"].as_u64().unwrap_or(0);
    assert!(
        told > 0 && told < used_now * 4 && used_now < told * 4,
        "{told} and {used_now}"
    );
    assert!(pod["memory"]["workingSetBytes"].as_u64() <= Some(told));
    assert_eq!(
        worker["memory"]["availableBytes"]
            .as_u64()
            .map(|free| free <= 64 << 20),
        Some(true)
    );
    assert!(pod["process_stats"]["process_count"].as_u64() >= Some(2));
    assert!(pod["network"]["name"] == "eth0", "{pod:#}");
    assert!(pod["ephemeral-storage"]["usedBytes"].as_u64() >= Some(3 << 20));
    let machine = &found["node"];
    assert_eq!(machine["nodeName"], node.name.as_str());
    assert!(machine["memory"]["workingSetBytes"].as_u64() > Some(0));
    assert!(machine["fs"]["capacityBytes"].as_u64() > machine["fs"]["availableBytes"].as_u64());
    assert!(machine["rlimit"]["curproc"].as_u64() > Some(0));
    let short: serde_json::Value =
        serde_json::from_str(&proxy(&node, "stats/summary?only_cpu_and_memory=true"))
            .expect("JSON");
    assert!(pod_of(&short, "summary").get("network").is_none());

    // The same counters on the other pages, and they only rise.
    let seconds = |page: &str| -> f64 {
        let text = proxy(&node, page);
        let line = text.lines().find(|line| {
            line.starts_with("container_cpu_usage_seconds_total{")
                && line.contains("container=\"worker\"")
                && line.contains("namespace=\"summary\"")
        });
        let line = line.unwrap_or_else(|| panic!("{page}:\n{text}"));
        let value = line
            .split("} ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        value
            .and_then(|value| value.parse().ok())
            .expect("a number")
    };
    let first = seconds("metrics/cadvisor");
    assert!(first > 0.0);
    assert!(eventually(|| seconds("metrics/resource") > first));
    let page = proxy(&node, "metrics/cadvisor");
    for name in [
        "container_memory_working_set_bytes{container=\"worker\"",
        "container_network_receive_bytes_total{id=\"",
        "container_cpu_cfs_throttled_periods_total{container=\"worker\"",
        "container_fs_usage_bytes{container=\"worker\"",
        "machine_memory_bytes ",
    ] {
        assert!(page.contains(name), "{name}");
    }
    assert!(proxy(&node, "metrics").contains("kubelet_running_pods "));
}

fn kubectl_top() {
    let node = namespace("top");
    node.apply(&busy_pod("top"));
    node.wait_for("top", "pod/busy", "{.status.phase}", "Running");
    let columns = |arguments: &[&str]| -> Vec<Vec<String>> {
        let ran = node.kubectl(arguments);
        let lines = ran.stdout.lines().map(|line| {
            let words = line.split_whitespace().map(str::to_owned);
            words.collect::<Vec<_>>()
        });
        lines.collect()
    };
    let busy = || {
        let lines = columns(&["-n", "top", "top", "pod", "--containers", "--no-headers"]);
        lines.len() == 2
            && lines.iter().any(|line| {
                let milli = |text: &str| text.strip_suffix('m').and_then(|m| m.parse::<u32>().ok());
                line[1] == "worker" && milli(&line[2]).is_some_and(|cpu| cpu > 50)
            })
    };
    let told = eventually(busy);
    let ran = node.kubectl(&["-n", "top", "top", "pod", "--containers"]);
    assert!(told, "{}{}", ran.stdout, ran.stderr);
    node.kubectl(&["top", "node"])
        .must_say("CPU(cores)")
        .must_say(&node.name);
    node.kubectl(&["top", "pod", "-A"]).must_say("busy");
    node.kubectl(&["-n", "top", "top", "pod", "-l", "app=busy"])
        .must_say("busy");
    let none = node.kubectl(&["-n", "top", "top", "pod", "-l", "app=other"]);
    assert!(!none.stdout.contains("busy"));
    node.kubectl(&["-n", "top", "get", "podmetrics", "busy"])
        .must_say("busy");
    node.kubectl(&["-n", "top", "get", "podmetrics", "absent"])
        .must_fail_with("not found");
    node.kubectl(&["get", "nodes.metrics.k8s.io"])
        .must_say("WINDOW");
    node.kubectl(&["api-resources", "--api-group=metrics.k8s.io"])
        .must_say("PodMetrics");
    // Nothing to write there, and the plain names still mean the core's kinds.
    node.kubectl(&["-n", "top", "delete", "podmetrics", "busy"])
        .must_fail_with("the server does not allow this method on the requested resource");
    node.kubectl(&["-n", "top", "get", "pods"])
        .must_say("STATUS");
}

/// Debian's prometheus, stopped when dropped.
struct Prometheus {
    process: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(settings: impl Fn(&Path) -> String) -> Prometheus {
        let directory = tempfile::tempdir().expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, settings(directory.path())).expect("settings");
        let log = std::fs::File::create(directory.path().join("log")).expect("log");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("Debian's package prometheus is installed");
        Prometheus {
            process,
            address,
            directory,
        }
    }

    /// Values of an instant query.
    fn query(&self, query: &str) -> Vec<f64> {
        let path: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", query)
            .finish();
        let answer = get(&self.address, &format!("/api/v1/query?{path}"));
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let series = value["data"]["result"].as_array().cloned();
        let number = |one: &serde_json::Value| one["value"][1].as_str()?.parse().ok();
        series
            .unwrap_or_default()
            .iter()
            .filter_map(number)
            .collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The body of a small HTTP answer; empty where nobody answers.
fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err()
    {
        return String::new();
    }
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    body.unwrap_or_default().to_owned()
}

fn prometheus_scrapes_the_node() {
    let node = namespace("prometheus");
    node.apply(&busy_pod("prometheus"));
    node.wait_for("prometheus", "pod/busy", "{.status.phase}", "Running");
    let prometheus = Prometheus::start(|directory| {
        let kubeconfig = std::fs::read_to_string(node.kubeconfig()).expect("kubeconfig");
        let file = |key: &str| {
            let line = kubeconfig.lines().find(|line| line.contains(key));
            let text = line.and_then(|line| line.split(": ").nth(1)).expect(key);
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text.trim())
                .expect(key);
            let path = directory.join(key);
            std::fs::write(&path, bytes).expect(key);
            path.display().to_string()
        };
        let tls = format!(
            "    scheme: https\n    scrape_interval: 1s\n    tls_config: {{ca_file: {}, cert_file: {}, key_file: {}}}\n    static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
            file("certificate-authority-data"),
            file("client-certificate-data"),
            file("client-key-data"),
            node.port
        );
        let jobs = ["metrics/cadvisor", "metrics/resource", "metrics"].map(|page| {
            let name = page.replace('/', "-");
            format!(
                "  - job_name: node-{name}\n    metrics_path: /api/v1/nodes/{}/proxy/{page}\n{tls}",
                node.name
            )
        });
        format!(
            "scrape_configs:\n  - job_name: apiserver\n    metrics_path: /metrics\n{tls}{}",
            jobs.concat()
        )
    });
    let up = eventually(|| prometheus.query("up == 1").len() == 4);
    assert!(
        up,
        "{}\n{}",
        get(&prometheus.address, "/api/v1/targets"),
        prometheus.log()
    );
    let rate = "rate(container_cpu_usage_seconds_total{job=\"node-metrics-cadvisor\",namespace=\"prometheus\",container=\"worker\"}[30s])";
    let busy = eventually(|| {
        prometheus
            .query(rate)
            .first()
            .is_some_and(|rate| (0.02..0.5).contains(rate))
    });
    assert!(busy, "{:?}", prometheus.query(rate));
    let requests = "sum(apiserver_request_total{resource=\"pods\"})";
    assert!(eventually(|| prometheus
        .query(requests)
        .first()
        .is_some_and(|n| *n > 0.0)));
    // The format in its maker's own judgement, where the tool is there.
    let check = Command::new("sh")
        .args(["-c", "command -v promtool"])
        .output();
    if check.is_ok_and(|found| found.status.success()) {
        for page in ["metrics/cadvisor", "metrics/resource", "metrics"] {
            let text = prometheus.directory.path().join("page");
            std::fs::write(&text, proxy(&node, page)).expect("page");
            let line = format!("promtool check metrics < {}", text.display());
            let told = run(Command::new("sh").args(["-c", &line]));
            // Warnings about names are upstream's own.
            assert!(
                !told.stderr.contains("error while linting"),
                "{}",
                told.stderr
            );
        }
    }
}
