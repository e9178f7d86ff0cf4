//! What the node takes from a pod when it runs short.

use crate::kubelet::eviction::{Eviction, REASON};
use crate::kubelet::now_ms;
use crate::kubelet::pod::state::Verdict;
use crate::kubelet::worker::Worker;

impl Worker {
    /// The node gives this pod up. One that ends for another reason already ends for that.
    pub(in crate::kubelet) fn take_eviction(&mut self, eviction: Option<Eviction>) {
        let Some(eviction) = eviction else { return };
        if self.state.verdict.is_some() || self.state.termination.is_some() {
            return;
        }
        self.state.verdict = Some(Verdict {
            reason: REASON.to_string(),
            message: eviction.message.clone(),
        });
        self.state.disrupted = eviction.disrupted.then_some(eviction.message);
        self.state.finish_deadline_ms = Some(now_ms().saturating_add(eviction.grace_ms));
    }

    /// Removes ended runs that wait for their restart; their logs stay.
    pub(in crate::kubelet) async fn reclaim(&mut self) {
        if !std::mem::take(&mut self.must_reclaim) {
            return;
        }
        let dead: Vec<(String, u32)> = self
            .state
            .containers
            .iter()
            .filter(|(_, record)| !record.released)
            .filter_map(|(name, record)| Some((name.clone(), record.ended()?.attempt)))
            .collect();
        for (name, attempt) in dead {
            self.remove_container(&name, attempt).await;
        }
    }
}
