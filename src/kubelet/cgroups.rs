//! The cgroups above containers: of all pods together, of their classes, and of each pod.
//!
//! For: workers, when a pod comes, goes or changes what it may use. What comes in: pods as they were granted; what
//! goes out: files below the runtime's cgroup root. Invariant: after a pod's sandbox is made and before its first
//! container starts, all three levels have their limits, since the levels above a pod go with the last pod. It never
//! decides what a pod is granted.
//! <https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/>,
//! <https://github.com/kubernetes/design-proposals-archive/blob/main/node/pod-resource-management.md>

use super::eviction::Reserved;
use super::manager::Pods;
use super::pod::state::containers;
use super::spec::NodeFacts;
use super::spec::pod_resources::{Amounts, pod_cgroup, pod_requests};
use super::spec::resources::{cgroup, class, container_resources, live_limits, shares};
use crate::runtime::cgroups::limits::{Bound, LimitError, Limiter, Limits, Missing};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::sync::{Arc, Mutex, PoisonError};

const BURSTABLE: &str = "burstable";
const BEST_EFFORT: &str = "besteffort";

pub struct Cgroups {
    limiter: Limiter,
    pods: Arc<Pods>,
    facts: NodeFacts,
    /// All pods together (upstream's enforceNodeAllocatable: pods).
    all: Limits,
    /// Processes and threads of one pod.
    pids_max: Option<i64>,
    /// One writes at a time, so that an older sum does not come after a newer one.
    turn: Mutex<()>,
}

/// All there is less what is reserved; hard thresholds are left out, as upstream leaves them: they are what eviction
/// is to reach first.
pub fn node_limits(
    cpu_milli: i64,
    memory_bytes: i64,
    pids_max: Option<i64>,
    reserved: &Reserved,
) -> Limits {
    let left = |all: i64, kept: i64| all.saturating_sub(kept).max(0);
    let memory = left(memory_bytes, reserved.memory_bytes);
    Limits {
        cpu_shares: Some(shares(left(cpu_milli, reserved.cpu_milli))),
        memory_bytes: (memory > 0).then_some(Bound::At(memory)),
        pids: pids_max.map(|all| Bound::At(left(all, reserved.pids).max(1))),
        ..Limits::default()
    }
}

impl Cgroups {
    pub fn new(
        limiter: Limiter,
        pods: Arc<Pods>,
        facts: NodeFacts,
        all: Limits,
        pids_max: Option<i64>,
    ) -> Cgroups {
        Cgroups {
            limiter,
            pods,
            facts,
            all,
            pids_max,
            turn: Mutex::default(),
        }
    }

    pub fn limits_of(&self, pod: &Pod) -> Limits {
        pod_cgroup(pod, self.pids_max, self.facts.huge_pages.keys())
    }

    /// Limits for `pod`, as it was granted, and for what is above it. Its cgroup is there.
    pub async fn settle(self: &Arc<Self>, pod: &Pod) -> Result<(), LimitError> {
        let own = self.limits_of(pod);
        self.settle_as(pod, own).await
    }

    /// The same with other limits for the pod itself.
    pub async fn settle_as(self: &Arc<Self>, pod: &Pod, own: Limits) -> Result<(), LimitError> {
        let (this, below) = (self.clone(), cgroup(pod));
        let mut sum = self.burstable_milli(pod.metadata.uid.as_deref().unwrap_or_default());
        if class(pod) == "Burstable" {
            sum = sum.saturating_add(cpu(&pod_requests(pod)));
        }
        blocking(move || {
            let _turn = this.turn.lock().unwrap_or_else(PoisonError::into_inner);
            this.limiter.set("", &this.all, Missing::Skip)?;
            this.share(sum)?;
            this.limiter.set(&below, &own, Missing::Skip)
        })
        .await
    }

    /// `pod` is over: its share goes back.
    pub async fn release(self: &Arc<Self>, pod: &Pod) {
        if class(pod) != "Burstable" {
            return;
        }
        let sum = self.burstable_milli(pod.metadata.uid.as_deref().unwrap_or_default());
        let this = self.clone();
        let shared = blocking(move || {
            let _turn = this.turn.lock().unwrap_or_else(PoisonError::into_inner);
            this.share(sum)
        });
        if let Err(error) = shared.await {
            tracing::debug!(%error, "share of burstable pods not lowered; the next pod's coming does it");
        }
    }

    fn share(&self, burstable_milli: i64) -> Result<(), LimitError> {
        for (class, milli) in [(BURSTABLE, burstable_milli), (BEST_EFFORT, 0)] {
            let limits = Limits {
                cpu_shares: Some(shares(milli)),
                ..Limits::default()
            };
            self.limiter.set(class, &limits, Missing::Skip)?;
        }
        Ok(())
    }

    /// CPU asked for by burstable pods other than `uid`.
    fn burstable_milli(&self, uid: &str) -> i64 {
        let views = self.pods.views();
        let others = views.iter().filter(|view| {
            !view.over
                && view.pod.metadata.uid.as_deref() != Some(uid)
                && class(&view.pod) == "Burstable"
        });
        others.fold(0, |sum: i64, view| sum.saturating_add(cpu(&view.requests)))
    }

    /// Changes what a running container may use.
    pub async fn change(
        self: &Arc<Self>,
        pod: &Pod,
        container: &Container,
        id: &str,
    ) -> Result<(), ChangeError> {
        let resources = container_resources(pod, container, self.facts.memory_capacity_bytes);
        let (this, below) = (self.clone(), format!("{}/{id}", cgroup(pod)));
        if let (Some(bytes), Some(used)) = (
            resources.memory_limit_bytes,
            self.limiter.memory_usage(&below),
        ) && used > bytes
        {
            return Err(ChangeError::InUse {
                container: container.name.clone(),
                bytes,
                used,
            });
        }
        let limits = live_limits(&resources);
        Ok(blocking(move || this.limiter.set(&below, &limits, Missing::Refuse)).await?)
    }
}

/// A change that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Upstream's words.
    #[error(
        "attempting to set container {container:?} memory limit ({bytes}) below current usage ({used})"
    )]
    InUse {
        container: String,
        bytes: i64,
        used: i64,
    },
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// At least what each of two allows.
pub fn widest(one: &Limits, other: &Limits) -> Limits {
    let bound = |a: Option<Bound>, b: Option<Bound>| match (a, b) {
        (Some(Bound::At(a)), Some(Bound::At(b))) => Some(Bound::At(a.max(b))),
        (None, None) => None,
        _ => Some(Bound::Max),
    };
    Limits {
        cpu_quota_us: bound(one.cpu_quota_us, other.cpu_quota_us),
        memory_bytes: bound(one.memory_bytes, other.memory_bytes),
        ..one.clone()
    }
}

fn cpu(requests: &Amounts) -> i64 {
    requests.get("cpu").copied().unwrap_or(0)
}

async fn blocking(
    work: impl FnOnce() -> Result<(), LimitError> + Send + 'static,
) -> Result<(), LimitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Only where the runtime shuts down.
        Err(_) => Ok(()),
    }
}

/// The containers of `pod` by name.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    containers(pod).map(|(_, c)| c).find(|c| c.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_no_pod_gets() {
        let reserved = Reserved {
            cpu_milli: 500,
            memory_bytes: 24,
            pids: 100,
            ..Reserved::default()
        };
        let limits = node_limits(2000, 1024, Some(32_768), &reserved);
        assert_eq!(limits.cpu_shares, Some(1536));
        assert_eq!(limits.memory_bytes, Some(Bound::At(1000)));
        assert_eq!(limits.pids, Some(Bound::At(32_668)));
        assert_eq!(node_limits(1, 24, None, &reserved).memory_bytes, None);
    }

    #[test]
    fn the_widest_of_two() {
        let of = |quota, memory| Limits {
            cpu_quota_us: Some(quota),
            memory_bytes: Some(memory),
            ..Limits::default()
        };
        let wide = widest(
            &of(Bound::At(5), Bound::At(1)),
            &of(Bound::At(3), Bound::Max),
        );
        assert_eq!(wide, of(Bound::At(5), Bound::Max));
    }
}
