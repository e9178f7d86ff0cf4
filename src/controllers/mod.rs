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
mod node;
mod pod_garbage;
mod queue;
mod replica_set;
mod resource_quota;
mod revisions;
mod root_ca;
mod service_account;
mod stateful_set;
mod storage;
mod token_secret;
mod ttl_after_finished;

#[cfg(test)]
pub(crate) mod fake_door;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod simulation;

use crate::client::Client;
use runner::Controller;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What controllers are told at the start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority's.
    pub certificate_pem: String,
    /// How long a node may be silent until it counts as lost.
    pub node_monitor_grace_period: Duration,
}

#[cfg(test)]
impl Settings {
    /// Of an authority whose certificate is `certificate`.
    fn test() -> Settings {
        Settings {
            certificate_pem: "certificate".to_owned(),
            node_monitor_grace_period: NODE_MONITOR_GRACE_PERIOD,
        }
    }
}

/// Upstream's `--node-monitor-grace-period` was this for long: four renewals of a lease.
pub const NODE_MONITOR_GRACE_PERIOD: Duration = Duration::from_secs(40);

/// Every controller.
pub fn all(settings: Settings) -> Vec<Box<dyn Controller>> {
    let certificate_pem = settings.certificate_pem;
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
        Box::new(node::NodeHealth {
            grace: settings.node_monitor_grace_period,
        }),
        Box::new(node::NodeTaints),
        Box::new(node::PodsOfLostNodes),
        Box::new(node::TaintEviction),
        Box::new(pod_garbage::FinishedPods),
        Box::new(pod_garbage::LostPods),
        Box::new(replica_set::Sets::new()),
        Box::new(replica_set::Controllers::new()),
        Box::new(resource_quota::Quotas),
        Box::new(root_ca::RootCa {
            certificate_pem: certificate_pem.clone(),
        }),
        Box::new(service_account::ServiceAccounts),
        Box::new(stateful_set::StatefulSets),
        Box::new(storage::Claims),
        Box::new(storage::Ephemeral),
        Box::new(storage::Volumes),
        Box::new(token_secret::TokenSecrets { certificate_pem }),
        Box::new(ttl_after_finished::TtlAfterFinished),
    ]
}

/// Runs them until `stop`.
pub async fn run(client: Client, settings: Settings, stop: CancellationToken) {
    runner::run(client, all(settings), stop).await;
}
