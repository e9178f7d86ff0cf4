//! What a node has put on the host, counted: mounts, cgroups, links, namespaces, processes, files, descriptors.

#![allow(dead_code, clippy::unwrap_used)]

use super::{TestNode, eventually, files_below};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Idle connections and wakers come and go by a few; a leak of one for every pod does not hide in this.
const DESCRIPTORS_SLACK: usize = 12;
/// Likewise for the blocking threads a runtime keeps for a while.
const THREADS_SLACK: usize = 20;

/// Directories of the run directory that come with a node's first pod, and stay.
const ROOMS: [&str; 3] = ["kubelet", "kubelet/termination", "kubelet/volumes"];

/// What is there of a node at one moment. Everything but the last two is named, so that a leak says what it is.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    things: BTreeSet<String>,
    descriptors: usize,
    threads: usize,
}

impl Traces {
    /// Looks at the host.
    pub fn of(node: &TestNode) -> Traces {
        let mut things = BTreeSet::new();
        mounts(node, &mut things);
        cgroups(node, &mut things);
        links(node, &mut things);
        processes(node, &mut things);
        files(node, &mut things);
        let process = PathBuf::from(format!("/proc/{}", node.pid()));
        Traces {
            things,
            descriptors: entries(&process.join("fd")),
            threads: entries(&process.join("task")),
        }
    }

    /// What is there now and was not before.
    pub fn new_since(&self, before: &Traces) -> Vec<String> {
        let mut new: Vec<String> = self.things.difference(&before.things).cloned().collect();
        for (what, now, then, slack) in [
            (
                "descriptors",
                self.descriptors,
                before.descriptors,
                DESCRIPTORS_SLACK,
            ),
            ("threads", self.threads, before.threads, THREADS_SLACK),
        ] {
            if now > then + slack {
                new.push(format!(
                    "{what} of the node process: {then} before, {now} now"
                ));
            }
        }
        new
    }
}

/// Panics unless the node comes to have nothing on the host that was not there `before`.
#[track_caller]
pub fn assert_none(node: &TestNode, before: &Traces) {
    let mut left = Vec::new();
    let clean = eventually(|| {
        left = Traces::of(node).new_since(before);
        left.is_empty()
    });
    assert!(
        clean,
        "{} leaks:\n{}\nnode log:\n{}",
        left.len(),
        left.join("\n"),
        super::tail(&node.log(), 40)
    );
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

fn mounts(node: &TestNode, found: &mut BTreeSet<String>) {
    let own = [node.data_dir(), node.run_dir()].map(|d| d.to_string_lossy().into_owned());
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in table.lines() {
        let point = line.split(' ').nth(4).unwrap_or_default();
        if own
            .iter()
            .any(|directory| point.starts_with(directory.as_str()))
        {
            found.insert(format!("mount {point}"));
        }
    }
}

/// Cgroups of pods and containers; the fixed ones above them stay.
fn cgroups(node: &TestNode, found: &mut BTreeSet<String>) {
    fn walk(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.insert(format!("cgroup {}", entry.path().display()));
                walk(&entry.path(), found);
            }
        }
    }
    let root = node.cgroup_root();
    let top = PathBuf::from("/sys/fs/cgroup");
    walk(&top.join(&root), found);
    for controller in std::fs::read_dir(&top).unwrap().flatten() {
        walk(&controller.path().join(&root), found);
    }
    found.retain(|thing| {
        let name = thing.rsplit('/').next().unwrap_or_default();
        !thing.starts_with("cgroup ") || !matches!(name, "besteffort" | "burstable" | "shims")
    });
}

fn links(node: &TestNode, found: &mut BTreeSet<String>) {
    let output = Command::new("ip")
        .args(["-o", "link", "show", "master", node.bridge()])
        .output()
        .unwrap();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        found.insert(format!("link {name}"));
    }
}

/// Shims, and whatever runs in the node's cgroups. A shim holds the pod's namespaces, so they end with it; one that is
/// bound to a file would be a mount. Zombies of the node process count too.
fn processes(node: &TestNode, found: &mut BTreeSet<String>) {
    let run_dir = node.run_dir().to_string_lossy().into_owned();
    let root = format!("/{}/", node.cgroup_root());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let shim = line.contains(" shim ") && line.contains(&run_dir);
        let inside = String::from_utf8_lossy(&read("cgroup")).contains(&root);
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let zombie =
            status.contains("State:\tZ") && status.contains(&format!("PPid:\t{}\n", node.pid()));
        if pid != node.pid() && (shim || inside || zombie) {
            found.insert(format!("process {pid} {line}"));
        }
    }
}

/// Files of pods: below `pods` on disk and anywhere on tmpfs. Logs of the node and its store are its own.
fn files(node: &TestNode, found: &mut BTreeSet<String>) {
    for directory in [node.data_dir().join("pods"), node.run_dir()] {
        for file in files_below(&directory) {
            if ROOMS.iter().any(|room| file == Path::new(room)) {
                continue;
            }
            found.insert(format!("file {}", directory.join(file).display()));
        }
    }
}
