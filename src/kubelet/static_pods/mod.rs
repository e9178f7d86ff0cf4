//! Pods from files of a directory: run whether the API answers or not, and shown there as mirror pods.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/>
//!
//! What comes in: a directory of YAML and JSON files, one pod each, watched. What goes out: the whole set of its pods
//! whenever it changes; the manager starts and ends workers by it, and each worker keeps its mirror.
//!
//! Invariants: a file's pod keeps its uid for as long as its content is the same, over restarts of this process, so
//! that running containers are adopted. A file that is broken is told once and changes nothing; what it held before
//! goes on. It never knows about containers.

pub mod mirror;
mod parse;
mod watch;

use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Largest file: more than any pod the API would take.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Most files looked at; a node runs fewer pods than that.
const FILES_MAX: usize = 1024;
/// Wait before a directory that is not there, or cannot be watched, is tried again (upstream looks every 20 s).
const RETRY: Duration = Duration::from_secs(5);

/// Fills in defaults and validates as the API would for a static pod; the error says what is wrong.
pub type Complete = fn(serde_json::Value) -> Result<serde_json::Value, String>;

/// Where static pods come from.
#[derive(Debug, Clone)]
pub struct StaticPods {
    pub dir: PathBuf,
    pub complete: Complete,
}

/// Reads the directory now and whenever it changes.
pub struct Source {
    config: StaticPods,
    node: String,
    files: BTreeMap<String, Loaded>,
}

/// What a file held when it was last looked at.
struct Loaded {
    text: Vec<u8>,
    /// The last pod it held; none if it never held one.
    pod: Option<Arc<Pod>>,
}

impl Source {
    pub fn new(config: StaticPods, node: &str) -> Source {
        Source {
            config,
            node: node.to_string(),
            files: BTreeMap::new(),
        }
    }

    /// The present set. A directory that is not there holds none.
    pub fn read(&mut self) -> Vec<Arc<Pod>> {
        let dir = self.config.dir.clone();
        let names = match names(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "static pods not read; those that run go on");
                return self.pods();
            }
        };
        self.files.retain(|name, _| names.contains(name));
        for name in names {
            let path = dir.join(&name);
            match text(&path) {
                // Written next: its end is told.
                Ok(text) if text.is_empty() => {}
                Ok(text) => self.take(name, &path, text),
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "static pod not read; other files are not affected");
                }
            }
        }
        self.pods()
    }

    fn take(&mut self, name: String, path: &Path, text: Vec<u8>) {
        let old = self.files.remove(&name);
        if old.as_ref().is_some_and(|old| old.text == text) {
            self.files.extend(old.map(|old| (name, old)));
            return;
        }
        let parsed = parse::parse(&text, path, &self.node, self.config.complete);
        let pod = match parsed {
            Ok(pod) => Some(Arc::new(pod)),
            Err(problem) => {
                tracing::error!(file = %path.display(), "static pod not taken: {problem}; other files are not affected, mend this one");
                old.and_then(|old| old.pod)
            }
        };
        self.files.insert(name, Loaded { text, pod });
    }

    /// One pod of a name: the first file's.
    fn pods(&self) -> Vec<Arc<Pod>> {
        let mut seen = BTreeSet::new();
        let mut pods = Vec::new();
        for (file, loaded) in &self.files {
            let Some(pod) = &loaded.pod else { continue };
            let name = full_name(pod);
            if seen.insert(name.clone()) {
                pods.push(pod.clone());
            } else {
                tracing::error!(file, pod = %format!("{}/{}", name.0, name.1), "another file holds a static pod of this name; this one is passed over");
            }
        }
        pods
    }

    /// Sends the set whenever it changes, until `stop`.
    pub async fn run(
        mut self,
        mut last: Vec<Arc<Pod>>,
        changes: mpsc::Sender<Vec<Arc<Pod>>>,
        stop: CancellationToken,
    ) {
        let mut watch = watch::Watch::default();
        loop {
            let dir = self.config.dir.clone();
            let attached = watch.attach(&dir);
            // After the watch stands, so that nothing falls between.
            let read = tokio::task::spawn_blocking(move || {
                let pods = self.read();
                (self, pods)
            });
            let Ok((source, pods)) = read.await else {
                return;
            };
            self = source;
            if uids(&pods) != uids(&last) {
                last.clone_from(&pods);
                if changes.send(pods).await.is_err() {
                    return;
                }
            }
            let changed = async {
                if attached {
                    watch.changed().await;
                } else {
                    tokio::time::sleep(RETRY).await;
                }
            };
            if stop.run_until_cancelled(changed).await.is_none() {
                return;
            }
        }
    }
}

fn uids(pods: &[Arc<Pod>]) -> Vec<Option<&str>> {
    pods.iter().map(|p| p.metadata.uid.as_deref()).collect()
}

/// Namespace and name.
pub fn full_name(pod: &Pod) -> (String, String) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    (text(&pod.metadata.namespace), text(&pod.metadata.name))
}

/// Files of pods, by name. Hidden files are editors' own, and anything may lie beside.
fn names(dir: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        let ending = Path::new(&name).extension().and_then(|e| e.to_str());
        if !name.starts_with('.') && matches!(ending, Some("yaml" | "yml" | "json")) {
            names.insert(name);
        }
        if names.len() >= FILES_MAX {
            tracing::warn!(dir = %dir.display(), "more than {FILES_MAX} static pods; the rest is passed over");
            break;
        }
    }
    Ok(names)
}

fn text(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(std::io::Error::other("this is no file"));
    }
    if data.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "larger than {FILE_BYTES_MAX} bytes"
        )));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names_of(pods: &[Arc<Pod>]) -> Vec<String> {
        pods.iter().map(|p| full_name(p).1).collect()
    }

    #[test]
    fn files_come_change_break_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let config = StaticPods {
            dir: dir.path().join("pods"),
            complete: Ok,
        };
        let mut source = Source::new(config, "Node");
        assert!(source.read().is_empty());
        std::fs::create_dir(dir.path().join("pods")).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join("pods").join(name), text).unwrap();
        };
        let pod = |name: &str, image: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
            )
        };
        write("a.yaml", &pod("web", "one"));
        write(
            "b.json",
            r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db"}, "spec": {"containers": []}}"#,
        );
        write(".c.yaml", &pod("hidden", "one"));
        write("d.txt", "not a pod");
        write("e.yaml", "");
        let first = source.read();
        assert_eq!(names_of(&first), ["web-node", "db-node"]);
        assert_eq!(uids(&source.read()), uids(&first));
        // A broken file leaves what it held.
        write("a.yaml", "apiVersion: v1\nkind: [");
        assert_eq!(uids(&source.read()), uids(&first));
        write("a.yaml", &pod("web", "two"));
        let second = source.read();
        assert_ne!(uids(&second), uids(&first));
        // A second pod of the same name is none.
        write("z.yaml", &pod("web", "three"));
        assert_eq!(uids(&source.read()), uids(&second));
        std::fs::remove_file(dir.path().join("pods/b.json")).unwrap();
        assert_eq!(names_of(&source.read()), ["web-node"]);
        // Content makes the uid, so that another process finds the same pod.
        let mut other = Source::new(source.config.clone(), "Node");
        assert_eq!(uids(&other.read()), uids(&second[..1]));
    }
}
