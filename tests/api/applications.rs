//! Well-known kinds of application, written as their users write them (`applications/*.yaml`), through their whole life:
//! they reach their state, are updated, rolled back, drained from their node and come back, and leave nothing.
//!
//! Each has a node of its own, because a drain takes all pods and what is left is looked for on the host as well.

mod agent;
mod backup;
mod database;
mod parts;
mod shop;

use crate::common::leaks::{self, Traces};
use crate::common::{Ran, TestNode, eventually, files_below, tail};
use std::net::TcpStream;
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    ("a_web_shop_in_three_tiers", shop::lives),
    ("a_database_keeps_its_data", database::lives),
    ("a_backup_by_the_clock", backup::lives),
    ("an_agent_gathers_logs", agent::lives),
    ("fifty_parts_of_one_work", parts::lives),
];

/// The next image, which says so in `/etc/mark`.
const NEXT_IMAGE: &str = "test.local/busybox:2";

/// One application in a namespace on a node of its own.
struct Application {
    node: TestNode,
    namespace: &'static str,
    manifest: String,
    before: Traces,
}

impl Application {
    /// A node with the images and an empty namespace. `manifest` is not applied yet.
    fn new(namespace: &'static str, manifest: &str) -> Application {
        let node = TestNode::start();
        for image in [crate::busybox::IMAGE, NEXT_IMAGE] {
            crate::import_busybox(&node, image);
        }
        node.kubectl(&["create", "namespace", namespace]).must();
        Application {
            before: Traces::of(&node),
            node,
            namespace,
            manifest: manifest.to_owned(),
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.node
            .kubectl(&[&["-n", self.namespace], arguments].concat())
    }

    fn apply(&self) -> Ran {
        let line = ["-n", self.namespace, "apply", "-f", "-"];
        self.node.kubectl_input(&line, &self.manifest).must()
    }

    fn value(&self, object: &str, path: &str) -> String {
        self.node.value(self.namespace, object, path)
    }

    fn words(&self, object: &str, path: &str) -> Vec<String> {
        let all = self.value(object, path);
        all.split_whitespace().map(str::to_owned).collect()
    }

    #[track_caller]
    fn wait_for(&self, object: &str, path: &str, expected: &str) {
        self.node.wait_for(self.namespace, object, path, expected);
    }

    /// Polls until `condition`; what there is and what the node said otherwise.
    #[track_caller]
    fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        let reached = eventually(condition);
        assert!(reached, "{what}: never\n{}", self.picture());
    }

    /// What there is, what went wrong with it, and the node's last words.
    fn picture(&self) -> String {
        let all = self.kubectl(&["get", "all,endpointslices,pvc", "-o", "wide"]);
        let warnings = self.kubectl(&["get", "events", "--field-selector=type=Warning"]);
        let log = tail(&self.node.log(), 30);
        format!("{}\n{}\n{log}", all.stdout, warnings.stdout)
    }

    #[track_caller]
    fn rolled_out(&self, workload: &str) {
        let ran = self.kubectl(&["rollout", "status", workload, "--timeout=90s"]);
        assert!(ran.ok, "{workload}: {ran:?}\n{}", self.picture());
    }

    #[track_caller]
    fn roll_back(&self, workload: &str) {
        self.kubectl(&["rollout", "undo", workload])
            .must_say("rolled back");
        self.rolled_out(workload);
    }

    fn drain(&self, more: &[&str]) -> Ran {
        let name = &*self.node.name;
        self.node.kubectl(&[&["drain", name], more].concat())
    }

    fn uncordon(&self) {
        self.node
            .kubectl(&["uncordon", &self.node.name])
            .must_say("uncordoned");
    }

    /// Names of the pods of an application's part that are not ending.
    fn pods(&self, selector: &str) -> Vec<String> {
        let path = "{range .items[*]}{.metadata.name}:{.metadata.deletionTimestamp} {end}";
        let ran = self.kubectl(&[
            "get",
            "pods",
            "-l",
            selector,
            "-o",
            &format!("jsonpath={path}"),
        ]);
        let words = ran.stdout.split_whitespace();
        words
            .filter_map(|word| word.strip_suffix(':'))
            .map(str::to_owned)
            .collect()
    }

    /// Addresses of a Service's ready endpoints, as its slices tell them.
    fn addresses(&self, service: &str) -> Vec<String> {
        let path = "{range .items[*].endpoints[?(@.conditions.ready==true)]}{.addresses[0]} {end}";
        let label = format!("kubernetes.io/service-name={service}");
        let path = format!("jsonpath={path}");
        let ran = self.kubectl(&["get", "endpointslices", "-l", &label, "-o", &path]);
        ran.stdout.split_whitespace().map(str::to_owned).collect()
    }

    /// Deletes what was applied, and waits as kubectl does.
    fn delete(&self) {
        let line = [
            "-n",
            self.namespace,
            "delete",
            "--ignore-not-found",
            "--timeout=90s",
            "-f",
            "-",
        ];
        self.node.kubectl_input(&line, &self.manifest).must();
    }

    /// Neither the API nor the host knows the application any more, but for `kept` (`kind/name`).
    #[track_caller]
    fn assert_nothing_is_left(&self, kept: &[&str]) {
        let kinds = self
            .node
            .kubectl(&[
                "api-resources",
                "--namespaced",
                "--verbs=list,delete",
                "-o",
                "name",
            ])
            .must()
            .stdout;
        let kinds: Vec<&str> = kinds
            .lines()
            .filter(|kind| !kind.starts_with("events"))
            .collect();
        let every_namespace_has = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
        let mut left = Vec::new();
        let gone = eventually(|| {
            let ran = self
                .kubectl(&["get", &kinds.join(","), "-o", "name"])
                .must();
            left = ran.stdout.lines().map(str::to_owned).collect();
            left.retain(|name| !every_namespace_has.contains(&&**name) && !kept.contains(&&**name));
            left.is_empty()
        });
        assert!(gone, "{left:?} left\n{}", self.picture());
        if kept.is_empty() {
            let volumes = || {
                self.node
                    .kubectl(&["get", "pv", "-o", "name"])
                    .must()
                    .stdout
            };
            self.until("no volumes", || volumes().is_empty());
            let storage = files_below(&self.node.data_dir().join("storage"));
            assert!(storage.is_empty(), "{storage:?}");
        }
        leaks::assert_none(&self.node, &self.before);
    }
}

/// What an HTTP server says to a GET, without its head.
fn get(address: &str, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let to = format!("{address}:8080").parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}
