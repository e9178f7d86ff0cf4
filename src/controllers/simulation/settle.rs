//! Nobody disturbs any more: everything runs until nothing is left to do, and then it is looked at.

use super::{Simulation, Step, actors, rules, user};
use crate::controllers::action::Action;
use crate::controllers::runner::Next;
use crate::controllers::world::{Key, World, streams};
use crate::store::Revision;
use futures::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// Whose, and which.
pub type WorkKey = (usize, Key);

/// Rounds in which something is written, until a cluster must have settled: a rollout of a few pods needs several.
const ROUNDS_MAX: usize = 120;
/// Plans of one round: more of them are a loop that feeds itself.
const PLANS_MAX: usize = 1500;
/// For the watches to tell what the API says already.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where something is always tried again or measured anew (a quota that refuses, an autoscaler), nothing written for
/// this long is settled: longer than any wait of a controller.
const QUIET: Duration = Duration::from_mins(15);
/// How far time goes at once: autoscalers look at what was measured.
const STRIDE: Duration = Duration::from_mins(1);

impl Simulation {
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

    /// Everything that is due is decided and done.
    async fn work_off(&mut self) {
        for _ in 0..PLANS_MAX {
            match self.runner.next(self.instant, self.clock) {
                Next::Do(key, plan) => {
                    let outcome = self.carry_out(&key, plan.actions).await;
                    self.runner.finish(&key, outcome, self.instant);
                }
                Next::More => {}
                Next::Idle => return,
            }
        }
        panic!("a hot loop: {PLANS_MAX} plans at once\n{}", self.trail);
    }

    pub async fn settle(&mut self) {
        self.silent.clear();
        user::calm(&self.admin).await;
        let (mut rounds, mut quiet) = (0, Duration::ZERO);
        let mut known = Revision(0);
        loop {
            while !self.under_way.is_empty() {
                self.step(&Step::Hear).await;
            }
            if self.raft.store.revision() != known {
                self.catch_up().await;
                known = self.raft.store.revision();
            }
            self.work_off().await;
            actors::work(&self.admin, self.clock).await;
            if self.raft.store.revision() != known {
                (rounds, quiet) = (rounds + 1, Duration::ZERO);
                assert!(
                    rounds < ROUNDS_MAX,
                    "does not settle in {ROUNDS_MAX} rounds\n{}",
                    self.trail
                );
                continue;
            }
            let measured = self.runner.world.autoscalers.iter().next().is_some();
            let wait = match self.runner.wake() {
                None if !measured => return,
                wake => wake.map_or(STRIDE, |at| at.saturating_duration_since(self.instant)),
            };
            if quiet >= QUIET {
                return;
            }
            let wait = wait.min(STRIDE);
            quiet += wait;
            self.advance(wait);
        }
    }

    /// A new leader finds nothing to write (it may tell again what the last one told: events are counted in memory; and
    /// be refused again what is refused), and what users asked for is so.
    pub async fn check(&mut self) {
        let before = self.raft.store.revision();
        self.lead().await;
        self.measure();
        for _ in 0..PLANS_MAX {
            match self.runner.next(self.instant, self.clock) {
                Next::Do(_, plan) if plan.actions.iter().all(is_silent) => {}
                Next::Do(key, plan) => {
                    let outcome = self.carry_out(&key, plan.actions).await;
                    assert!(
                        outcome.failure.is_some() && self.raft.store.revision() == before,
                        "a new leader still writes\n{}",
                        self.trail
                    );
                    self.runner.finish(&key, outcome, self.instant);
                }
                Next::More => {}
                Next::Idle => break,
            }
        }
        let broken = rules::broken(&self.runner.world);
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.trail);
    }
}

fn is_silent(action: &Action) -> bool {
    matches!(action, Action::Tell { .. } | Action::Remember(_))
}
