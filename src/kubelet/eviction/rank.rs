//! Whom the node gives up first.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#pod-selection-for-kubelet-eviction>

use super::threshold::Signal;
use std::cmp::Reverse;

/// What decides about one pod. `None`: unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    pub uid: String,
    pub priority: i32,
    pub memory: Option<u64>,
    pub memory_request: u64,
    pub disk: Option<u64>,
    pub disk_request: u64,
    pub inodes: Option<u64>,
    pub pids: Option<u64>,
}

impl Candidate {
    /// Use and request of what `signal` is about; inodes and processes cannot be requested.
    fn of(&self, signal: Signal) -> (Option<u64>, u64) {
        match signal {
            Signal::MemoryAvailable => (self.memory, self.memory_request),
            Signal::NodefsAvailable | Signal::ImagefsAvailable => (self.disk, self.disk_request),
            Signal::NodefsInodesFree | Signal::ImagefsInodesFree => (self.inodes, 0),
            Signal::PidAvailable => (self.pids, 0),
        }
    }
}

/// Sorts: above their requests first (then unknown use counts as above), lower priority, more use above the request.
/// For processes only priority and number count.
pub fn rank(candidates: &mut [Candidate], signal: Signal) {
    candidates.sort_by_key(|one| {
        let (used, request) = one.of(signal);
        let exceeds = signal == Signal::PidAvailable || used.is_none_or(|used| used > request);
        let above = i128::from(used.unwrap_or(u64::MAX)) - i128::from(request);
        (!exceeds, one.priority, Reverse(above))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_order() {
        let pod = |uid: &str, priority, used: u64, request: u64| Candidate {
            uid: uid.to_owned(),
            priority,
            memory: Some(used),
            memory_request: request,
            pids: Some(used),
            ..Candidate::default()
        };
        let mut pods = vec![
            pod("within", 0, 90, 100),
            pod("above-important", 100, 500, 0),
            pod("above-little", 0, 110, 100),
            pod("above-much", 0, 300, 100),
            Candidate {
                uid: "unknown".to_owned(),
                ..Candidate::default()
            },
        ];
        rank(&mut pods, Signal::MemoryAvailable);
        let order: Vec<&str> = pods.iter().map(|pod| pod.uid.as_str()).collect();
        assert_eq!(
            order,
            [
                "unknown",
                "above-much",
                "above-little",
                "above-important",
                "within"
            ]
        );
        rank(&mut pods, Signal::PidAvailable);
        let order: Vec<&str> = pods.iter().map(|pod| pod.uid.as_str()).collect();
        assert_eq!(
            order,
            [
                "unknown",
                "above-much",
                "above-little",
                "within",
                "above-important"
            ]
        );
    }
}
