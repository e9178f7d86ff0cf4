//! What probes make of a container's run: thresholds, gating, readiness. Pure; time is an argument.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes>
//!
//! All times here are milliseconds since the container's start, on a clock that never jumps: a board without a battery
//! may set its wall clock by years while a container runs.

use super::decide::{GRACE_S_MIN, grace_s};
use super::record::Record;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Holds the others back until it succeeds; its failure restarts the container.
    Startup,
    /// Its failure restarts the container.
    Liveness,
    /// Decides whether the container counts as ready.
    Readiness,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

    /// As events begin: `Liveness probe failed: …`.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Startup => "startup",
            Kind::Liveness => "liveness",
            Kind::Readiness => "readiness",
        }
    }

    pub fn probe(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// The numbers of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    pub kind: Kind,
    pub initial_delay_ms: i64,
    pub period_ms: i64,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

impl Check {
    pub fn of(kind: Kind, probe: &Probe) -> Check {
        let or = |value: Option<i32>, default: i32| value.filter(|v| *v > 0).unwrap_or(default);
        Check {
            kind,
            initial_delay_ms: i64::from(or(probe.initial_delay_seconds, 0)) * 1000,
            period_ms: i64::from(or(probe.period_seconds, 10)) * 1000,
            success_threshold: or(probe.success_threshold, 1).unsigned_abs(),
            failure_threshold: or(probe.failure_threshold, 3).unsigned_abs(),
        }
    }
}

/// The checks a container asks for.
pub fn checks(container: &Container) -> Vec<Check> {
    Kind::ALL
        .iter()
        .filter_map(|kind| Some(Check::of(*kind, kind.probe(container)?)))
        .collect()
}

/// What one try of a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Healthy,
    Unhealthy,
    /// The probe itself could not be carried out: upstream throws such a result away.
    Unknown,
}

/// What the checks say of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub attempt: u32,
    pub started: bool,
    pub ready: bool,
    /// The check over which the run is to be stopped.
    pub failed: Option<Kind>,
}

/// A run that is being stopped because a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unhealthy {
    pub attempt: u32,
    pub kind: Kind,
    /// SIGKILL from here on (wall clock, milliseconds).
    pub deadline_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    check: Check,
    /// When it is to be tried next.
    due_ms: i64,
    /// A try is under way.
    trying: bool,
    last: Option<Answer>,
    /// How many times in a row `last` came.
    streak: u32,
    /// It is not tried again in this run.
    over: bool,
}

/// The checks of one run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    checks: Vec<Progress>,
    standing: Standing,
}

/// Where a run's checks begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beginning {
    pub attempt: u32,
    /// How long the container has been running.
    pub age_ms: i64,
    /// What an earlier node process reported of this very run (started, ready): it stands until a check says otherwise.
    pub reported: Option<(bool, bool)>,
}

impl Health {
    /// `phase` gives each check a share (0 to 1) of its period by which its tries are shifted, so that many
    /// containers started together are not all probed in the same moment. A readiness check of a new run is tried as
    /// soon as its delay allows, as upstream triggers it.
    pub fn new(checks: &[Check], from: Beginning, mut phase: impl FnMut(Kind) -> f64) -> Health {
        let has = |kind: Kind| checks.iter().any(|c| c.kind == kind);
        let (started, ready) = from.reported.unwrap_or_default();
        let mut list = Vec::with_capacity(checks.len());
        for check in checks {
            let shift_ms = (phase(check.kind).clamp(0.0, 1.0) * check.period_ms as f64) as i64;
            let due_ms = if check.kind == Kind::Readiness && from.reported.is_none() {
                check.initial_delay_ms.max(from.age_ms)
            } else {
                first_tick(
                    from.age_ms + shift_ms,
                    check.period_ms,
                    check.initial_delay_ms,
                )
            };
            list.push(Progress {
                check: *check,
                due_ms,
                trying: false,
                last: None,
                streak: 0,
                over: check.kind == Kind::Startup && started,
            });
        }
        Health {
            checks: list,
            standing: Standing {
                attempt: from.attempt,
                started: started || !has(Kind::Startup),
                ready,
                failed: None,
            },
        }
        .settled()
    }

    fn settled(mut self) -> Health {
        if !self.has(Kind::Readiness) {
            self.standing.ready = self.standing.started;
        }
        self.standing.ready &= self.standing.started;
        self
    }

    fn has(&self, kind: Kind) -> bool {
        self.checks.iter().any(|p| p.check.kind == kind)
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether the check may be tried at all now: the startup check alone until the container has started.
    fn open(&self, progress: &Progress) -> bool {
        !progress.over && (progress.check.kind == Kind::Startup) != self.standing.started
    }

    /// The checks to be tried at `now_ms`; they count as under way until `record` is called.
    pub fn take_due(&mut self, now_ms: i64) -> Vec<Kind> {
        let due: Vec<usize> = (0..self.checks.len())
            .filter(|i| {
                let progress = &self.checks[*i];
                self.open(progress) && !progress.trying && progress.due_ms <= now_ms
            })
            .collect();
        due.into_iter()
            .map(|i| {
                self.checks[i].trying = true;
                self.checks[i].check.kind
            })
            .collect()
    }

    /// When the next check is due; `None`: none before something under way ends.
    pub fn next_ms(&self) -> Option<i64> {
        self.checks
            .iter()
            .filter(|p| self.open(p) && !p.trying)
            .map(|p| p.due_ms)
            .min()
    }

    /// No check will be tried again in this run.
    pub fn is_over(&self) -> bool {
        !self.checks.iter().any(|p| p.trying || self.open(p))
    }

    /// Takes in what a try said.
    pub fn record(&mut self, kind: Kind, answer: Answer, now_ms: i64) {
        let Some(progress) = self.checks.iter_mut().find(|p| p.check.kind == kind) else {
            return;
        };
        progress.trying = false;
        // Like a ticker that keeps one tick: a try longer than the period is followed by the next at once.
        progress.due_ms = (progress.due_ms + progress.check.period_ms).max(now_ms);
        if progress.over || answer == Answer::Unknown {
            return;
        }
        progress.streak = if progress.last == Some(answer) {
            progress.streak.saturating_add(1)
        } else {
            1
        };
        progress.last = Some(answer);
        let threshold = match answer {
            Answer::Healthy => progress.check.success_threshold,
            _ => progress.check.failure_threshold,
        };
        if progress.streak < threshold {
            return;
        }
        let healthy = answer == Answer::Healthy;
        match (kind, healthy) {
            (Kind::Readiness, _) => self.standing.ready = healthy,
            (Kind::Liveness, true) => {}
            (Kind::Startup, true) => {
                progress.over = true;
                self.start(now_ms);
            }
            (Kind::Startup | Kind::Liveness, false) => {
                self.standing.failed = Some(kind);
                self.leave_off();
            }
        }
    }

    fn start(&mut self, now_ms: i64) {
        self.standing.started = true;
        self.standing.ready = !self.has(Kind::Readiness);
        for progress in &mut self.checks {
            let check = progress.check;
            progress.due_ms = match check.kind {
                Kind::Readiness => check.initial_delay_ms.max(now_ms),
                _ => first_tick(progress.due_ms, check.period_ms, now_ms),
            };
        }
    }

    /// A container that is to be restarted is left alone until it is, but for its readiness.
    fn leave_off(&mut self) {
        for progress in &mut self.checks {
            progress.over |= progress.check.kind != Kind::Readiness;
        }
    }

    /// The pod is being ended: nobody restarts its containers any more, while readiness is still watched. A container
    /// that had not started counts as started then, as upstream has it.
    pub fn pod_ends(&mut self, now_ms: i64) {
        self.leave_off();
        if !self.standing.started && self.standing.failed.is_none() {
            self.start(now_ms);
        }
    }
}

/// The first of the times `phase + k * period` that is not before `from`.
fn first_tick(phase_ms: i64, period_ms: i64, from_ms: i64) -> i64 {
    if phase_ms >= from_ms {
        return phase_ms;
    }
    let periods = (from_ms - phase_ms + period_ms - 1) / period_ms.max(1);
    phase_ms + periods * period_ms
}

fn standing(record: &Record) -> Option<Standing> {
    let attempt = record.attempt()?;
    record.health.filter(|s| s.attempt == attempt)
}

/// `started` in a container's status.
pub fn is_started(container: &Container, record: &Record) -> bool {
    record.is_up()
        && (container.startup_probe.is_none() || standing(record).is_some_and(|s| s.started))
}

/// `ready` in the status of a container that is to keep running.
pub fn is_ready(container: &Container, record: &Record) -> bool {
    is_started(container, record)
        && (container.readiness_probe.is_none() || standing(record).is_some_and(|s| s.ready))
}

/// The check over which the container's present run is being stopped.
pub fn failed(record: &Record) -> Option<&Unhealthy> {
    record
        .unhealthy
        .as_ref()
        .filter(|u| Some(u.attempt) == record.attempt())
}

/// What a failed check sets going: the grace is the probe's own, or the pod's.
pub fn unhealthy(
    pod: &Pod,
    container: &Container,
    attempt: u32,
    kind: Kind,
    now_ms: i64,
) -> Unhealthy {
    let grace_s = kind
        .probe(container)
        .and_then(|p| p.termination_grace_period_seconds)
        .unwrap_or_else(|| grace_s(pod))
        .max(GRACE_S_MIN);
    Unhealthy {
        attempt,
        kind,
        deadline_ms: now_ms.saturating_add(grace_s.saturating_mul(1000)),
    }
}

/// Upstream's message of the event `Killing` for a container whose check failed.
pub fn killing_message(container: &str, unhealthy: &Unhealthy, restarts: bool) -> String {
    format!(
        "Container {container} failed {} probe{}",
        unhealthy.kind.word(),
        if restarts { ", will be restarted" } else { "" }
    )
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
