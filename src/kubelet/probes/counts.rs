//! What came of probes, for `/metrics/probes`: upstream's `prober_probe_total` and `prober_probe_duration_seconds`.
//!
//! Counts live as long as one run of one container is probed; then their lines are gone, as upstream's are.

use super::answer::Outcome;
use crate::exposition::Kind::{Counter, Histogram};
use crate::exposition::Page;
use crate::kubelet::pod::health::Kind;
use k8s_openapi::api::core::v1::Pod;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Upper bounds in seconds: the Go client's usual ones, which upstream takes.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Of one kind of probe.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    successful: u64,
    failed: u64,
    /// How long the successful ones took.
    buckets: [u64; BOUNDS.len()],
    above: u64,
    seconds: f64,
}

/// Of one container, while it runs.
#[derive(Debug, Default)]
pub struct Counts {
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    /// In the order of [`Kind::ALL`].
    tallies: Mutex<[Tally; Kind::ALL.len()]>,
}

impl Counts {
    /// None yet.
    pub fn of(pod: &Pod, container: &str) -> Counts {
        let meta = &pod.metadata;
        Counts {
            namespace: meta.namespace.clone().unwrap_or_default(),
            pod: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            container: container.to_owned(),
            ..Counts::default()
        }
    }

    /// A probe that could not be carried out counts as little as it does for the container.
    pub fn count(&self, kind: Kind, outcome: &Outcome, took: Duration) {
        let Some(at) = Kind::ALL.iter().position(|of| *of == kind) else {
            return;
        };
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = &mut tallies[at];
        match outcome {
            Outcome::Success | Outcome::Warning(_) => {
                tally.successful += 1;
                let seconds = took.as_secs_f64();
                tally.seconds += seconds;
                match BOUNDS.iter().position(|bound| seconds <= *bound) {
                    Some(bucket) => tally.buckets[bucket] += 1,
                    None => tally.above += 1,
                }
            }
            Outcome::Failure(_) => tally.failed += 1,
            Outcome::Error { .. } => {}
        }
    }

    fn tallies(&self) -> [Tally; Kind::ALL.len()] {
        *self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counts of every container that is probed now.
#[derive(Debug, Default)]
pub struct AllCounts(Mutex<Vec<Weak<Counts>>>);

impl AllCounts {
    /// Shows `counts` until they are dropped.
    pub fn add(&self, counts: &Arc<Counts>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As many are left as containers run.
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(counts));
    }

    /// The page.
    pub fn page(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Arc<Counts>> = all.iter().filter_map(Weak::upgrade).collect();
        page(&all)
    }
}

fn page(all: &[Arc<Counts>]) -> String {
    let mut text = Page::default();
    text.family(
        "prober_probe_total",
        Counter,
        "Cumulative number of a liveness, readiness or startup probe for a container by result.",
    );
    for counts in all {
        for (kind, tally) in Kind::ALL.iter().zip(counts.tallies()) {
            for (result, count) in [("successful", tally.successful), ("failed", tally.failed)] {
                if count > 0 {
                    let labels = [
                        ("container", counts.container.as_str()),
                        ("namespace", &counts.namespace),
                        ("pod", &counts.pod),
                        ("pod_uid", &counts.uid),
                        ("probe_type", kind.title()),
                        ("result", result),
                    ];
                    text.sample(&labels, count);
                }
            }
        }
    }
    text.family(
        "prober_probe_duration_seconds",
        Histogram,
        "Duration in seconds for a probe response.",
    );
    for counts in all {
        for (kind, tally) in Kind::ALL.iter().zip(counts.tallies()) {
            if tally.successful > 0 {
                let labels = [
                    ("container", counts.container.as_str()),
                    ("namespace", &counts.namespace),
                    ("pod", &counts.pod),
                    ("probe_type", kind.title()),
                ];
                let buckets: Vec<(f64, u64)> = BOUNDS.into_iter().zip(tally.buckets).collect();
                text.histogram(&labels, &buckets, tally.above, tally.seconds);
            }
        }
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_times_of_those_that_are_probed() {
        let all = AllCounts::default();
        let counts = Arc::new(Counts {
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            uid: "u".to_owned(),
            container: "c".to_owned(),
            ..Counts::default()
        });
        all.add(&counts);
        counts.count(Kind::Readiness, &Outcome::Success, Duration::from_millis(5));
        let slow = Outcome::Warning("w".to_owned());
        counts.count(Kind::Readiness, &slow, Duration::from_secs(11));
        let failure = Outcome::Failure("f".to_owned());
        counts.count(Kind::Liveness, &failure, Duration::from_secs(1));
        counts.count(Kind::Startup, &Outcome::unknown("e"), Duration::ZERO);
        let page = all.page();
        let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let of = "container=\"c\",namespace=\"n\",pod=\"p\"";
        assert_eq!(
            lines[..3],
            [
                format!(
                    "prober_probe_total{{{of},pod_uid=\"u\",probe_type=\"Liveness\",result=\"failed\"}} 1"
                ),
                format!(
                    "prober_probe_total{{{of},pod_uid=\"u\",probe_type=\"Readiness\",result=\"successful\"}} 2"
                ),
                format!(
                    "prober_probe_duration_seconds_bucket{{{of},probe_type=\"Readiness\",le=\"0.005\"}} 1"
                ),
            ]
        );
        assert_eq!(
            lines[lines.len() - 3..],
            [
                format!(
                    "prober_probe_duration_seconds_bucket{{{of},probe_type=\"Readiness\",le=\"+Inf\"}} 2"
                ),
                format!(
                    "prober_probe_duration_seconds_sum{{{of},probe_type=\"Readiness\"}} 11.005"
                ),
                format!("prober_probe_duration_seconds_count{{{of},probe_type=\"Readiness\"}} 2"),
            ]
        );
        drop(counts);
        assert!(!all.page().contains("container="));
    }
}
