//! What the kubelet counts of its own doing, for `/metrics`.

use super::probes::counts::AllCounts;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts since this process began.
#[derive(Debug, Default)]
pub struct Counters {
    /// By eviction signal: as many as there are signals.
    evictions: Mutex<BTreeMap<&'static str, u64>>,
    images_removed: AtomicU64,
    pub probes: AllCounts,
}

impl Counters {
    pub fn evicted(&self, signal: &'static str) {
        let mut evictions = self
            .evictions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *evictions.entry(signal).or_default() += 1;
    }

    pub fn evictions(&self) -> BTreeMap<&'static str, u64> {
        self.evictions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn image_removed(&self) {
        self.images_removed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn images_removed(&self) -> u64 {
        self.images_removed.load(Ordering::Relaxed)
    }
}
