//! The task that probes one run of a container.

use super::answer::Outcome;
use super::counts::Counts;
use super::target::Target;
use super::{exec, grpc, http, tcp};
use crate::kubelet::Context;
use crate::kubelet::events;
use crate::kubelet::pod::health::{Health, Kind, Standing};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::api::core::v1::{Container, ObjectReference, Probe};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Tries of a probe that cannot be carried out, before that is told (upstream's `maxProbeRetries`).
const TRIES_MAX: u32 = 3;

/// One probe, ready to be tried.
#[derive(Debug, Clone)]
pub struct Try {
    target: Result<Target, String>,
    timeout_s: u64,
}

impl Try {
    pub fn of(probe: &Probe, container: &Container, pod_ip: &str) -> Try {
        let seconds = probe.timeout_seconds.filter(|s| *s > 0).unwrap_or(1);
        Try {
            target: Target::of(probe, container, pod_ip),
            timeout_s: u64::from(seconds.unsigned_abs()),
        }
    }
}

pub struct Task {
    pub ctx: Arc<Context>,
    /// What events are about.
    pub about: ObjectReference,
    pub uid: String,
    pub container: String,
    pub tries: Vec<(Kind, Try)>,
    pub health: Health,
    /// How long the container has been running.
    pub age_ms: i64,
    pub standing: watch::Sender<Standing>,
    pub changed: Arc<Notify>,
    pub pod_ends: watch::Receiver<bool>,
    pub counts: Arc<Counts>,
}

impl Task {
    /// Probes until nothing is left to be asked of this run.
    pub async fn run(mut self) {
        let began = Instant::now();
        let age_ms = self.age_ms;
        let now_ms = || age_ms.saturating_add(began.elapsed().as_millis() as i64);
        let at = |ms: i64| began + Duration::from_millis((ms - age_ms).max(0).unsigned_abs());
        let mut under_way: FuturesUnordered<BoxFuture<'static, (Kind, Outcome)>> =
            FuturesUnordered::new();
        let mut may_end = true;
        if *self.pod_ends.borrow_and_update() {
            self.health.pod_ends(now_ms());
        }
        loop {
            self.publish();
            for kind in self.health.take_due(now_ms()) {
                under_way.extend(self.begin(kind));
            }
            if self.health.is_over() {
                return;
            }
            let next_ms = self.health.next_ms();
            tokio::select! {
                Some((kind, outcome)) = under_way.next(), if !under_way.is_empty() => {
                    self.take(kind, &outcome, now_ms());
                }
                () = tokio::time::sleep_until(at(next_ms.unwrap_or_default())), if next_ms.is_some() => {}
                changed = self.pod_ends.changed(), if may_end => match changed {
                    Ok(()) if *self.pod_ends.borrow_and_update() => self.health.pod_ends(now_ms()),
                    Ok(()) => {}
                    Err(_) => may_end = false,
                },
            }
        }
    }

    fn begin(&self, kind: Kind) -> Option<BoxFuture<'static, (Kind, Outcome)>> {
        let (_, what) = self.tries.iter().find(|(of, _)| *of == kind)?;
        let what = what.clone();
        let (ctx, uid, container) = (self.ctx.clone(), self.uid.clone(), self.container.clone());
        let counts = self.counts.clone();
        Some(Box::pin(async move {
            let began = Instant::now();
            let mut outcome = Outcome::unknown("it was never tried");
            for _ in 0..TRIES_MAX {
                outcome = once(&ctx, &uid, &container, &what).await;
                if !matches!(outcome, Outcome::Error { .. }) {
                    break;
                }
            }
            counts.count(kind, &outcome, began.elapsed());
            (kind, outcome)
        }))
    }

    fn take(&mut self, kind: Kind, outcome: &Outcome, now_ms: i64) {
        // A pod on its way out is not reproached with a check that nobody acts on any more.
        let quiet = *self.pod_ends.borrow() && kind != Kind::Readiness;
        if let Some((reason, message)) = outcome.event(kind).filter(|_| !quiet) {
            let about = self.about.clone();
            self.ctx
                .recorder
                .note(about, events::Kind::Warning, reason, message);
        }
        self.health.record(kind, outcome.answer(), now_ms);
    }

    fn publish(&self) {
        let standing = self.health.standing();
        let changed = self.standing.send_if_modified(|told| {
            let news = *told != standing;
            *told = standing;
            news
        });
        if changed {
            self.changed.notify_one();
        }
    }
}

async fn once(ctx: &Context, uid: &str, container: &str, what: &Try) -> Outcome {
    let timeout_s = what.timeout_s;
    match &what.target {
        Err(text) => Outcome::unknown(text.clone()),
        Ok(Target::Exec { command }) => {
            exec::probe(&ctx.runtime, uid, container, command, timeout_s).await
        }
        Ok(Target::Http { url, headers }) => http::probe(url, headers, timeout_s).await,
        Ok(Target::Tcp { host, port }) => tcp::probe(host, *port, timeout_s).await,
        Ok(Target::Grpc {
            host,
            port,
            service,
        }) => grpc::probe(host, *port, service, timeout_s).await,
    }
}
