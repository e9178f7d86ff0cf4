//! Which thresholds are crossed, which pressure that means, and what to take back first. Upstream's `synchronize`.

use super::observe::Observations;
use super::pressure::Pressure;
use super::settings::Settings;
use super::threshold::{Signal, Threshold};
use std::collections::BTreeMap;

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub struct Watch {
    /// Since when a threshold (by its place in the settings) has been crossed, Unix milliseconds.
    crossed_since: BTreeMap<usize, i64>,
    /// When a signal's pressure was last seen.
    memory_ms: Option<i64>,
    disk_ms: Option<i64>,
    pids_ms: Option<i64>,
}

/// What one look found.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    pub pressure: Pressure,
    /// The threshold to act on, where one is crossed for long enough.
    pub act: Option<Threshold>,
}

impl Watch {
    pub fn look(&mut self, settings: &Settings, observed: &Observations, now_ms: i64) -> Look {
        let mut crossed = BTreeMap::new();
        let mut seen = Pressure::default();
        for (place, threshold) in settings.thresholds.iter().enumerate() {
            let was_crossed = self.crossed_since.contains_key(&place);
            if is_crossed(threshold, observed, was_crossed) {
                let since = self.crossed_since.get(&place).copied().unwrap_or(now_ms);
                crossed.insert(place, since);
                let by = Pressure::by(threshold.signal);
                seen.memory |= by.memory;
                seen.disk |= by.disk;
                seen.pids |= by.pids;
            }
        }
        self.crossed_since = crossed;
        let held = |holds: bool, last: &mut Option<i64>| {
            if holds {
                *last = Some(now_ms);
            }
            let recent = |at: i64| now_ms - at < settings.pressure_transition_ms;
            holds || last.is_some_and(recent)
        };
        let pressure = Pressure {
            memory: held(seen.memory, &mut self.memory_ms),
            disk: held(seen.disk, &mut self.disk_ms),
            pids: held(seen.pids, &mut self.pids_ms),
        };
        let due = self.crossed_since.iter().filter_map(|(place, since)| {
            let threshold = settings.thresholds.get(*place)?;
            let due = threshold
                .grace_ms
                .is_none_or(|grace| now_ms - since >= grace);
            due.then_some(*threshold)
        });
        // Memory cannot wait; of one signal the hard threshold leaves no grace.
        let act = due.min_by_key(|one| {
            (
                one.signal != Signal::MemoryAvailable,
                one.grace_ms,
                one.signal,
            )
        });
        Look { pressure, act }
    }
}

/// Less is available than the threshold; one crossed before must also have its minimum reclaim back.
pub fn is_crossed(threshold: &Threshold, observed: &Observations, was_crossed: bool) -> bool {
    let Some(observation) = observed.get(&threshold.signal) else {
        return false;
    };
    let mut wanted = threshold.amount.of(observation.capacity);
    if was_crossed && let Some(reclaim) = threshold.reclaim {
        wanted = wanted.saturating_add(reclaim.of(observation.capacity));
    }
    observation.available < wanted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::observe::Observation;
    use super::super::settings::Flags;
    use super::*;

    fn settings(flags: Flags) -> Settings {
        Settings::new(&crate::profile::named("pi-4").unwrap(), &flags).unwrap()
    }

    fn observed(memory: u64, disk: u64) -> Observations {
        let of = |available| Observation {
            available,
            capacity: 1000,
        };
        Observations::from([
            (Signal::MemoryAvailable, of(memory)),
            (Signal::NodefsAvailable, of(disk)),
        ])
    }

    #[test]
    fn pressure_is_held_and_memory_comes_first() {
        let settings = settings(Flags {
            eviction_hard: Some("nodefs.available<10%,memory.available<100".into()),
            ..Flags::default()
        });
        let mut watch = Watch::default();
        let calm = watch.look(&settings, &observed(500, 500), 0);
        assert_eq!((calm.pressure.any(), calm.act), (false, None));
        let both = watch.look(&settings, &observed(99, 99), 10_000);
        assert!(both.pressure.memory && both.pressure.disk && !both.pressure.pids);
        assert_eq!(both.act.unwrap().signal, Signal::MemoryAvailable);
        let after = watch.look(&settings, &observed(100, 99), 20_000);
        assert_eq!(after.act.unwrap().signal, Signal::NodefsAvailable);
        assert!(after.pressure.memory);
        let held = watch.look(&settings, &observed(500, 500), 309_999);
        assert_eq!(
            (held.pressure.memory, held.pressure.disk, held.act),
            (true, true, None)
        );
        let memory_over = watch.look(&settings, &observed(500, 500), 310_000);
        assert_eq!(
            (memory_over.pressure.memory, memory_over.pressure.disk),
            (false, true)
        );
        assert!(
            !watch
                .look(&settings, &observed(500, 500), 320_000)
                .pressure
                .any()
        );
    }

    #[test]
    fn soft_thresholds_wait_and_reclaims_are_asked_for() {
        let settings = settings(Flags {
            eviction_hard: Some(String::new()),
            eviction_soft: Some("memory.available<100".into()),
            eviction_soft_grace_period: Some("memory.available=30s".into()),
            eviction_minimum_reclaim: Some("memory.available=50".into()),
            ..Flags::default()
        });
        let mut watch = Watch::default();
        assert_eq!(watch.look(&settings, &observed(90, 0), 0).act, None);
        assert_eq!(watch.look(&settings, &observed(90, 0), 29_000).act, None);
        assert!(
            watch
                .look(&settings, &observed(90, 0), 30_000)
                .act
                .is_some()
        );
        // Above the threshold, but not by the minimum reclaim.
        assert!(
            watch
                .look(&settings, &observed(140, 0), 40_000)
                .act
                .is_some()
        );
        assert_eq!(watch.look(&settings, &observed(150, 0), 50_000).act, None);
        // From the beginning again.
        assert_eq!(watch.look(&settings, &observed(140, 0), 60_000).act, None);
    }
}
