//! All controllers together against the real API, without a clock: a test decides what happens next.
//!
//! What comes in: `Step`s, in any order: something a user does, a piece of news, a decision, the answer to a write, the
//! leader's death (also in the middle of a plan), a node's or the scheduler's work, time. What goes out: a settled
//! cluster, or where it does not settle. Invariants: after any steps the cluster settles within `ROUNDS_MAX` rounds;
//! then each kind's `rules` hold, and a new leader that lists everything anew finds nothing to do.

#![allow(clippy::unwrap_used)]

mod actors;
mod converge;
mod rules;
mod user;

use super::act::{Outcome, carry_out};
use super::action::Action;
use super::runner::{Next, Runner};
use super::world::heartbeats::Round;
use super::world::{News, World, streams};
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
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Rounds until a cluster must have settled: of a rollout of a few pods, each needs several.
const ROUNDS_MAX: usize = 100;
/// For the watches to tell what the API says already.
const PATIENCE: Duration = Duration::from_secs(20);

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
    /// Seconds.
    Advance(u16),
    /// A node falls silent, or speaks again.
    Silence(usize, bool),
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
    under_way: Vec<((usize, super::world::Key), Outcome)>,
    clock: Timestamp,
    instant: Instant,
    /// Renewals so far.
    beats: u64,
    /// Nodes that do not renew their leases.
    silent: BTreeSet<&'static str>,
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
            silent: BTreeSet::new(),
            client: own,
            raft,
            _directory: directory,
        };
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
                    let outcome = carry_out(&self.client, &self.recorder, plan.actions).await;
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
                actors::kubelet(&self.admin, *index, *fate, self.clock).await;
            }
            Step::Schedule(index) => actors::schedule(&self.admin, *index).await,
            Step::Advance(seconds) => self.advance(Duration::from_secs((*seconds).into())),
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

    /// Until the leader knows all that the API knows.
    async fn catch_up(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for index in 0..self.news.len() {
                while self.hear_news(index).await {}
            }
            let mut listed = World::default();
            for mut stream in streams(&self.client) {
                listed.take_in(stream.next().await.unwrap());
            }
            if listed.versions() == self.runner.world.versions() {
                return;
            }
            assert!(Instant::now() < deadline, "the watches do not catch up");
        }
    }

    /// Nobody disturbs any more: everything runs until nothing is left to do.
    async fn settle(&mut self) {
        let mut last = String::new();
        self.silent.clear();
        for _ in 0..ROUNDS_MAX {
            while !self.under_way.is_empty() {
                self.step(&Step::Hear).await;
            }
            self.catch_up().await;
            let mut moved = false;
            loop {
                match self.runner.next(self.instant, self.clock) {
                    Next::Do(key, plan) => {
                        moved = true;
                        last = format!(
                            "{} {:?}: {:?}",
                            self.runner.name(key.0),
                            key.1,
                            plan.actions
                        );
                        let outcome = carry_out(&self.client, &self.recorder, plan.actions).await;
                        self.runner.finish(&key, outcome, self.instant);
                    }
                    Next::More => {}
                    Next::Idle => break,
                }
            }
            moved |= actors::work(&self.admin, self.clock).await;
            if moved {
                continue;
            }
            match self.runner.wake() {
                Some(at) if at > self.instant => self.advance(at - self.instant),
                Some(_) => {}
                None => return,
            }
        }
        panic!("does not settle; the last plan was {last}");
    }

    /// A new leader finds nothing to do (it may tell again what the last one told: events are counted in memory),
    /// and what users asked for is so.
    async fn check(&mut self) {
        let before = self.raft.store.revision();
        self.lead().await;
        loop {
            match self.runner.next(self.instant, self.clock) {
                Next::Do(_, plan)
                    if (plan.actions.iter())
                        .all(|action| matches!(action, Action::Tell { .. })) => {}
                Next::Do(key, plan) => panic!(
                    "a new leader would still do, as {} for {:?}: {:?}",
                    self.runner.name(key.0),
                    key.1,
                    plan.actions
                ),
                Next::More => {}
                Next::Idle => break,
            }
        }
        assert_eq!(self.raft.store.revision(), before, "something was written");
        let broken = rules::broken(&self.runner.world);
        assert!(broken.is_empty(), "{broken:#?}");
    }
}
