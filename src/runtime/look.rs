//! Looking at this node's pods without touching them: for a reader beside the node process, or without one.

use super::client::{pods, shim_config};
use super::connection::Connection;
use super::protocol::{Request, Response, SOCKET_FILE};
use super::types::{ContainerStatus, SandboxSpec};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// A shim answers from memory; one that takes this long is stopped or dying.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// What was seen of one pod.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `None`: what the pod was made of cannot be read.
    pub spec: Option<SandboxSpec>,
    pub pod_uid: String,
    /// `Err`: its shim does not answer, and why.
    pub state: Result<ShimState, String>,
}

#[derive(Debug, Clone)]
pub struct ShimState {
    pub pid: i32,
    pub containers: Vec<ContainerStatus>,
}

/// Every pod with a directory in `run_dir`, in the order of their names. Starts, removes and changes nothing.
pub async fn look(run_dir: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (pod_uid, path) in pods(run_dir) {
        let state = match tokio::time::timeout(ANSWER_PATIENCE, ask(&path, &pod_uid)).await {
            Ok(state) => state,
            Err(_) => Err(format!("no answer within {} s", ANSWER_PATIENCE.as_secs())),
        };
        // Asked second: a pod that was just removed is no dead one.
        let spec = shim_config(&path).map(|config| config.spec);
        if state.is_ok() || path.exists() {
            seen.push(Seen {
                spec,
                pod_uid,
                state,
            });
        }
    }
    seen.sort_by(|left, right| key(left).cmp(&key(right)));
    seen
}

fn key(seen: &Seen) -> (&str, &str, &str) {
    let spec = seen.spec.as_ref();
    (
        spec.map_or("", |spec| &spec.namespace),
        spec.map_or("", |spec| &spec.name),
        &seen.pod_uid,
    )
}

async fn ask(path: &Path, pod_uid: &str) -> Result<ShimState, String> {
    // Its events are for the node process.
    let (quiet, _) = mpsc::channel(1);
    let connection = Connection::open(&path.join(SOCKET_FILE), pod_uid, quiet)
        .await
        .map_err(|cause| format!("its shim is gone: {cause}"))?;
    match connection.ask(Request::State).await {
        Ok(Response::State {
            pid, containers, ..
        }) => Ok(ShimState { pid, containers }),
        Ok(_) => Err("its shim answers something else".to_owned()),
        Err(cause) => Err(cause.to_string()),
    }
}
