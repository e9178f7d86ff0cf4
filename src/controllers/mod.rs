//! Reconcilers: pure functions from a snapshot to actions, and the one runner that feeds them.
//!
//! What comes in: every kind a controller looks at, watched once for all of them (`world`). What goes out: actions as
//! data (`action`), carried out through the same client (`act`). In between `runner` asks each controller which keys a
//! change concerns, and for each key what to do.
//!
//! A controller is one file: `keys`, `reconcile`, and the tables of its tests. It decides from the world and the time
//! it is given, and from nothing else: no clock, no I/O, no memory of its own. After a crash, or in another leader, the
//! world alone says what is left to do.
//!
//! It never knows about containers or how objects are stored.

pub mod action;
pub mod owners;
pub mod runner;
pub mod world;

mod act;
mod clock;
mod cluster_roles;
mod cron_job;
mod daemon_set;
mod deployment;
mod discovery;
mod disruption;
mod endpoints;
mod garbage;
mod horizontal;
mod job;
mod namespace;
mod node_taints;
mod queue;
mod replica_set;
mod resource_quota;
mod revisions;
mod root_ca;
mod service_account;
mod stateful_set;
mod storage;
mod ttl_after_finished;

#[cfg(test)]
pub(crate) mod fake_door;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod simulation;

use crate::client::Client;
use runner::Controller;
use tokio_util::sync::CancellationToken;

/// Every controller; `certificate_pem` is the authority's.
pub fn all(certificate_pem: String) -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(cluster_roles::AggregatedRoles),
        Box::new(cron_job::CronJobs),
        Box::new(daemon_set::DaemonSets),
        Box::new(deployment::Deployments),
        Box::new(disruption::Budgets),
        Box::new(endpoints::Mirror),
        Box::new(endpoints::Slices),
        Box::new(endpoints::Subsets),
        Box::new(garbage::GarbageCollector),
        Box::new(horizontal::Autoscalers),
        Box::new(job::Jobs),
        Box::new(job::OrphanedPods),
        Box::new(namespace::Namespaces),
        Box::new(node_taints::NodeTaints),
        Box::new(replica_set::Sets::new()),
        Box::new(replica_set::Controllers::new()),
        Box::new(resource_quota::Quotas),
        Box::new(root_ca::RootCa { certificate_pem }),
        Box::new(service_account::ServiceAccounts),
        Box::new(storage::Claims),
        Box::new(storage::Ephemeral),
        Box::new(storage::Volumes),
        Box::new(stateful_set::StatefulSets),
        Box::new(ttl_after_finished::TtlAfterFinished),
    ]
}

/// Runs them until `stop`.
pub async fn run(client: Client, certificate_pem: String, stop: CancellationToken) {
    runner::run(client, all(certificate_pem), stop).await;
}
