//! Health checks of containers: the tries themselves, and the tasks that make them in time.
//!
//! What comes in: a pod and its state, from the pod's worker. What goes out: the standing of every running container
//! that has probes, into its record ([`Probes::sync`]); a wake-up of the worker when one changed; events.
//!
//! Invariants: what answers mean is decided in [`crate::kubelet::pod::health`], which is pure; a task lives as long as
//! one run of one container and sleeps between tries; a try that worked as before wakes nobody; every try ends at its
//! timeout, keeps no connection, and reads a bounded answer. A process started by a try dies with it.
//!
//! It never knows about restarts, statuses or the API beyond the events it records.

pub mod answer;
pub mod counts;
mod exec;
pub mod grpc;
pub mod http;
mod run;
#[cfg(test)]
mod server_tests;
pub mod target;
mod tcp;
mod tls;
pub mod url;

use self::counts::Counts;
use super::Context;
use super::events::reference;
use super::pod::health::{self, Beginning, Health, Kind, Standing};
use super::pod::record::Run;
use super::pod::state::{PodState, Sandbox, containers};
use crate::runtime::RunId;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// The probes of one pod; they end when it is dropped.
#[derive(Default)]
pub struct Probes {
    watched: BTreeMap<String, Watched>,
    changed: Arc<Notify>,
}

/// One run of one container.
struct Watched {
    run: RunId,
    standing: watch::Receiver<Standing>,
    pod_ends: watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Probes {
    /// Waits until a standing may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Starts the probes of new runs, ends those of ended runs, and writes every standing into its record. `ends`: the
    /// pod is on its way out.
    pub(super) fn sync(
        &mut self,
        ctx: &Arc<Context>,
        pod: &Pod,
        state: &mut PodState,
        ends: bool,
        now_ms: i64,
    ) {
        self.watched
            .retain(|name, watched| state.running(name).as_ref() == Some(&watched.run));
        let Sandbox::Alive { ip } = state.sandbox.clone() else {
            return;
        };
        for (init, container) in containers(pod) {
            let Some(record) = state.containers.get_mut(&container.name) else {
                continue;
            };
            let Run::Running {
                attempt,
                id,
                started_ms,
            } = &record.run
            else {
                continue;
            };
            // Before its `postStart` hook is over it does not count as running.
            if !record.is_up() {
                continue;
            }
            let attempt = *attempt;
            if !self.watched.contains_key(&container.name) {
                let checks = health::checks(container);
                if checks.is_empty() {
                    continue;
                }
                let from = Beginning {
                    attempt,
                    age_ms: now_ms.saturating_sub(*started_ms).max(0),
                    reported: reported(pod, container, id),
                };
                let health = Health::new(&checks, from, |_| rand::random::<f64>());
                let (sender, standing) = watch::channel(health.standing());
                let (pod_ends, ending) = watch::channel(ends);
                let counts = Arc::new(Counts::of(pod, &container.name));
                ctx.counters.probes.add(&counts);
                let task = run::Task {
                    ctx: ctx.clone(),
                    about: reference(pod, Some((init, &container.name))),
                    uid: pod.metadata.uid.clone().unwrap_or_default(),
                    container: container.name.clone(),
                    tries: tries(container, &ip),
                    health,
                    age_ms: from.age_ms,
                    standing: sender,
                    changed: self.changed.clone(),
                    pod_ends: ending,
                    counts,
                };
                let watched = Watched {
                    run: RunId {
                        container: container.name.clone(),
                        attempt,
                    },
                    standing,
                    pod_ends,
                    _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
                };
                self.watched.insert(container.name.clone(), watched);
            }
            let Some(watched) = self.watched.get(&container.name) else {
                continue;
            };
            watched.pod_ends.send_if_modified(|told| {
                let news = *told != ends;
                *told = ends;
                news
            });
            let standing = *watched.standing.borrow();
            record.health = Some(standing);
            if let Some(kind) = standing.failed
                && health::failed(record).is_none()
            {
                record.unhealthy = Some(health::unhealthy(pod, container, attempt, kind, now_ms));
            }
        }
    }
}

fn tries(container: &Container, ip: &str) -> Vec<(Kind, run::Try)> {
    Kind::ALL
        .iter()
        .filter_map(|kind| Some((*kind, run::Try::of(kind.probe(container)?, container, ip))))
        .collect()
}

/// What an earlier process told of this very run.
fn reported(pod: &Pod, container: &Container, id: &str) -> Option<(bool, bool)> {
    let status = pod.status.as_ref()?;
    let this = |s: &&ContainerStatus| {
        s.name == container.name
            && s.container_id.as_deref().and_then(|i| i.split_once("://")) == Some(("coracle", id))
    };
    let list = status.container_statuses.iter().flatten();
    let init = status.init_container_statuses.iter().flatten();
    let found = list.chain(init).find(this)?;
    Some((found.started == Some(true), found.ready))
}
