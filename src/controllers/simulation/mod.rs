//! All controllers together against the real API, without a clock: a test decides what happens next.
//!
//! What comes in: `Step`s, in any order: something a user does, a piece of news, a decision, the answer to a write, the
//! leader's death (also in the middle of a plan), a node's or the scheduler's work, time. What goes out: a settled
//! cluster, or where it does not settle and what was done last. Invariants (`settle`): after any steps the cluster
//! settles within bounded rounds and plans; then each kind's `rules` hold, and a new leader that lists everything anew
//! writes nothing.
//!
//! Every controller has a rule, which a test looks after. Not here: real kubelets and the real
//! scheduler (`actors` and `scheduler` stand for them), events, and what needs thousands of objects.

#![allow(clippy::unwrap_used)]

mod actors;
mod converge;
mod manifests;
mod metrics;
mod rules;
mod scenarios;
mod scheduler;
mod settle;
mod trail;
mod user;

use super::act::{Outcome, carry_out};
use super::action::Action;
use super::runner::{Next, Runner};
use super::world::heartbeats::Round;
use super::world::{News, streams};
use crate::api::{Api, Identity, NodeDoor, User, bootstrap};
use crate::client::Client;
use crate::client::recorder::{Recorder, Source};
use crate::mesh::signing::SigningKey;
use crate::profile::StoreProfile;
use crate::raft::Raft;
use axum::body::Body;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    User(user::Deed),
    /// The next piece of news of one kind is heard.
    News(usize),
    /// The next decision is made and carried out; its answers are heard later.
    Decide,
    /// The answers of the oldest plan under way are heard.
    Hear,
    /// The leader dies, after this many actions of its next plan; another one takes over.
    Crash(usize),
    Kubelet(usize, actors::Fate),
    Schedule(usize),
    /// Volumes are made and removed.
    Provision,
    /// Seconds.
    Advance(u16),
    /// The wall clock is set, by so many minutes; no time passes.
    Jump(i32),
    /// A node falls silent, or speaks again.
    Silence(usize, bool),
    /// Every application uses so much from now on, in thousandths of a processor.
    Load(u16),
}

/// No node has a kubelet to talk to.
struct NoNodes;

impl NodeDoor for NoNodes {
    fn call(&self, _: &str, _: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        async { Response::new(Body::from("no kubelet")) }.boxed()
    }
}

struct Simulation {
    /// The controllers' own.
    client: Client,
    /// For users, nodes and the scheduler.
    admin: Client,
    recorder: Recorder,
    runner: Runner,
    news: Vec<super::world::Stream>,
    /// Carried out, and the answers not heard yet.
    under_way: Vec<(settle::WorkKey, Outcome)>,
    clock: Timestamp,
    instant: Instant,
    /// Renewals so far.
    beats: u64,
    /// Nodes that do not renew their leases.
    silent: actors::Silent,
    /// What every application uses.
    load: u16,
    /// What was done last, for whoever has to find out why.
    trail: trail::Trail,
    raft: Raft,
    _directory: tempfile::TempDir,
}

fn controllers() -> Runner {
    Runner::new(super::all(super::Settings::test()))
}

impl Simulation {
    async fn new() -> Simulation {
        let directory = tempfile::tempdir().unwrap();
        let profile = StoreProfile {
            cache_bytes: 1 << 20,
            history_entries: 10_000,
            history_bytes: 16 << 20,
            log_entries: 1000,
            flush_ms: 1000,
        };
        let raft = Raft::open(directory.path(), &profile).await.unwrap();
        let identity = Identity {
            signing_key: Arc::new(SigningKey::fleeting().unwrap()),
            root_certificate_pem: "certificate".into(),
            address: "192.0.2.1:6443".parse().unwrap(),
        };
        let api = Api::new(
            raft.store.clone(),
            raft.writer.clone(),
            Arc::new(NoNodes),
            identity,
        );
        bootstrap::bootstrap(&api).await.unwrap();
        let client = |name: &str, group: &str| {
            Client::new(api.door(User {
                name: name.into(),
                groups: vec![group.into()],
                ..User::default()
            }))
        };
        let own = client("system:kube-controller-manager", "system:authenticated");
        let source = Source {
            component: "test",
            host: None,
        };
        // Events are not written: what they say is in the tables of each controller.
        let (recorder, _) = Recorder::new(own.clone(), source, CancellationToken::new());
        let mut simulation = Simulation {
            admin: client("admin", "system:masters"),
            recorder,
            runner: controllers(),
            news: Vec::new(),
            under_way: Vec::new(),
            clock: Timestamp::now(),
            instant: Instant::now(),
            beats: 0,
            silent: actors::Silent::new(),
            load: 0,
            trail: trail::Trail::default(),
            client: own,
            raft,
            _directory: directory,
        };
        user::prepare(&simulation.admin).await;
        simulation.lead().await;
        simulation.settle().await;
        simulation
    }

    /// A new leader: it knows nothing but what it lists.
    async fn lead(&mut self) {
        self.under_way.clear();
        self.runner = controllers();
        self.news = streams(&self.client);
        for stream in &mut self.news {
            let first = stream.next().await.unwrap();
            let changes = self.runner.world.take_in(first);
            self.runner.on_changes(changes, self.instant);
        }
        // The last one told which kinds there are, and goes on with each of them.
        while !self.runner.world.is_known() {
            let next = self.news.last_mut().unwrap().next().await.unwrap();
            let changes = self.runner.world.take_in(next);
            self.runner.on_changes(changes, self.instant);
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::User(deed) => user::act(&self.admin, deed).await,
            Step::News(index) => {
                let index = index % self.news.len();
                self.hear_news(index).await;
            }
            Step::Decide => {
                if let Next::Do(key, plan) = self.runner.next(self.instant, self.clock) {
                    let outcome = self.carry_out(&key, plan.actions).await;
                    self.under_way.push((key, outcome));
                }
            }
            Step::Hear => {
                if !self.under_way.is_empty() {
                    let (key, outcome) = self.under_way.remove(0);
                    self.runner.finish(&key, outcome, self.instant);
                }
            }
            Step::Crash(after) => {
                if let Next::Do(_, mut plan) = self.runner.next(self.instant, self.clock) {
                    plan.actions.truncate(*after);
                    carry_out(&self.client, &self.recorder, plan.actions).await;
                }
                self.lead().await;
            }
            Step::Kubelet(index, fate) => {
                actors::kubelet(&self.admin, &self.silent, *index, *fate, self.clock).await;
            }
            Step::Schedule(index) => scheduler::schedule(&self.admin, *index).await,
            Step::Provision => {
                scheduler::provision(&self.admin).await;
            }
            Step::Advance(seconds) => self.advance(Duration::from_secs((*seconds).into())),
            Step::Jump(minutes) => self.clock += SignedDuration::from_mins((*minutes).into()),
            Step::Load(load) => self.load = *load,
            Step::Silence(index, silent) => {
                let node = actors::NODES[index % actors::NODES.len()];
                if *silent {
                    self.silent.insert(node);
                } else {
                    self.silent.remove(node);
                }
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        self.instant += by;
        self.clock = self
            .clock
            .checked_add(SignedDuration::try_from(by).unwrap())
            .unwrap();
        self.beats += 1;
        let nodes = actors::NODES.iter();
        let alive = nodes.filter(|node| !self.silent.contains(*node));
        let leases = alive
            .map(|node| ((*node).to_owned(), self.beats.to_string()))
            .collect();
        let round = Round {
            elapsed: by,
            leases,
        };
        let changes = self.runner.world.take_in(News::Heartbeats(round));
        self.runner.on_changes(changes, self.instant);
        self.measure();
    }

    /// What pods use is heard of.
    fn measure(&mut self) {
        let measured = metrics::measured(&self.runner.world, self.load, self.clock);
        let changes = self.runner.world.take_in(News::Usage(measured));
        self.runner.on_changes(changes, self.instant);
    }

    async fn carry_out(&mut self, key: &settle::WorkKey, actions: Vec<Action>) -> Outcome {
        let told = trail::told(self.runner.name(key.0), &key.1, &actions);
        let outcome = carry_out(&self.client, &self.recorder, actions).await;
        self.trail.add(told, &outcome);
        outcome
    }

    /// Takes in a piece of news if there is one by now.
    async fn hear_news(&mut self, index: usize) -> bool {
        tokio::task::yield_now().await;
        let Some(Some(news)) = self.news[index].next().now_or_never() else {
            return false;
        };
        let changes = self.runner.world.take_in(news);
        self.runner.on_changes(changes, self.instant);
        true
    }
}
