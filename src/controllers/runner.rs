//! The one loop that feeds every controller: news into the world, changes into keys, keys into plans, plans to the API.
//!
//! Invariants: a controller works on one key once at a time; nothing is decided before every kind has been listed; a
//! decision sees the result of the one before it; a plan that fails is tried again with back-off for as long as its
//! object exists.

use super::act::{Learnt, Outcome, carry_out};
use super::action::Plan;
use super::queue::WorkQueue;
use super::world::{Change, Feed, Key, World};
use crate::client::Client;
use crate::client::recorder::{Recorder, Source};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Plans carried out at once: they wait for the store, not for a processor.
const PLANS_MAX: usize = 8;
/// Decisions in a row before others get the processor.
const DECISIONS_MAX: usize = 64;

/// A reconciler: pure, so that any of its decisions can be had again from the same world.
pub trait Controller: Send + Sync {
    /// As its events name it: `deployment-controller`.
    fn name(&self) -> &'static str;
    /// Objects to look at again because of this change.
    fn keys(&self, world: &World, change: &Change) -> Vec<Key>;
    /// How long news like this may be gathered before it is looked at; changes that come meanwhile are one.
    fn gathers(&self, _: &Change) -> Duration {
        Duration::ZERO
    }
    /// What to do for the object; nothing where all is as it should be.
    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan;
}

/// Whose, and which.
type WorkKey = (usize, Key);

/// World, queue and controllers, without a clock, tasks or I/O.
pub struct Runner {
    pub world: World,
    controllers: Vec<Box<dyn Controller>>,
    queue: WorkQueue<WorkKey>,
}

impl Runner {
    pub fn new(controllers: Vec<Box<dyn Controller>>) -> Runner {
        Runner {
            world: World::default(),
            controllers,
            queue: WorkQueue::default(),
        }
    }

    /// Everybody whom the changes concern will look.
    pub fn on_changes(&mut self, changes: impl IntoIterator<Item = Change>, now: Instant) {
        for change in changes {
            for (index, controller) in self.controllers.iter().enumerate() {
                let at = now + controller.gathers(&change);
                for key in controller.keys(&self.world, &change) {
                    self.queue.add_at((index, key), at);
                }
            }
        }
    }

    /// The next decision that asks for something to be done.
    pub fn next(&mut self, now: Instant, clock: Timestamp) -> Next {
        for _ in 0..DECISIONS_MAX {
            let Some(key) = self.queue.take(now) else {
                return Next::Idle;
            };
            let Some(controller) = self.controllers.get(key.0) else {
                continue;
            };
            let plan = controller.reconcile(&self.world, &key.1, clock);
            if let Some(wait) = plan.again {
                self.queue.add_at(key.clone(), now + wait);
            }
            if !plan.actions.is_empty() {
                return Next::Do(key, plan);
            }
            self.queue.done(&key);
        }
        Next::More
    }

    /// A plan has been carried out, as far as it went.
    pub fn finish(&mut self, key: &WorkKey, outcome: Outcome, now: Instant) {
        let mut changes = Vec::new();
        for learnt in outcome.learnt {
            changes.extend(match learnt {
                Learnt::Is(object) => self.world.learn(&object),
                Learnt::Gone(target) => self.world.unlearn(
                    &target.api_version,
                    &target.kind,
                    &target.key(),
                    &target.uid,
                ),
                Learnt::Noted(note) => {
                    self.world.remember(&note);
                    None
                }
            });
        }
        self.on_changes(changes, now);
        match outcome.failure {
            Some(error) => {
                let who = self.name(key.0);
                tracing::warn!(controller = who, namespace = %key.1.0, name = %key.1.1, %error,
                    "reconcile failed, will be tried again");
                self.queue.later(key, now);
            }
            None if outcome.outdated => self.queue.later(key, now),
            None => self.queue.done(key),
        }
    }

    pub fn name(&self, index: usize) -> &'static str {
        self.controllers.get(index).map_or("", |c| c.name())
    }

    pub fn wake(&self) -> Option<Instant> {
        self.queue.wake()
    }
}

/// What `Runner::next` found.
pub enum Next {
    Do(WorkKey, Plan),
    /// Nothing is due.
    Idle,
    /// There may be more, after a pause for others.
    More,
}

/// Runs the controllers until `stop`.
pub async fn run(client: Client, controllers: Vec<Box<dyn Controller>>, stop: CancellationToken) {
    let source = Source {
        component: "controller-manager",
        host: None,
    };
    let (recorder, recording) = Recorder::new(client.clone(), source, stop.clone());
    tokio::join!(recording, decide(client, recorder, controllers, stop));
}

async fn decide(
    client: Client,
    recorder: Recorder,
    controllers: Vec<Box<dyn Controller>>,
    stop: CancellationToken,
) {
    let mut feed = Feed::new(&client);
    let mut runner = Runner::new(controllers);
    let mut work: FuturesUnordered<BoxFuture<'static, (WorkKey, Outcome)>> =
        FuturesUnordered::new();
    loop {
        let known = runner.world.is_known();
        while known && work.len() < PLANS_MAX {
            match runner.next(Instant::now(), Timestamp::now()) {
                Next::Do(key, plan) => {
                    let recorder = recorder.named(runner.name(key.0));
                    let client = client.clone();
                    work.push(
                        async move { (key, carry_out(&client, &recorder, plan.actions).await) }
                            .boxed(),
                    );
                }
                Next::Idle => break,
                Next::More => tokio::task::yield_now().await,
            }
        }
        let wake = runner.wake().filter(|_| known && work.len() < PLANS_MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            Some(news) = feed.next() => {
                let changes = runner.world.take_in(news);
                runner.on_changes(changes, Instant::now());
            }
            Some((key, outcome)) = work.next() => runner.finish(&key, outcome, Instant::now()),
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}
