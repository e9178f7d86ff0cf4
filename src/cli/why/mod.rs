//! `coracle why <kind>/<name>`: why is it not as it should be, and what would mend it.
//!
//! Pods are explained in full; of what makes pods, of namespaces and claims it is said what holds them up.
//!
//! In: an object's name. `gather` asks the API for the pod, its events, its node, and whether what it refers to exists.
//!
//! Out: plain sentences, the most immediate cause first, each with what was said about it and what to type.
//! Exit code 0 when nothing is wrong, 1 when something is.
//!
//! Invariants: `judge` and all below it are pure functions of the facts; a pod that is neither ready nor finished
//! always has at least one cause; a Secret's values are never looked at. It knows no server but through its API.

mod case;
mod cause;
mod config;
mod deletion;
mod ends;
mod facts;
mod gather;
mod gather_case;
mod health;
mod images;
mod jobs;
mod judge;
mod parts;
mod placement;
mod refusal;
mod remains;
mod storage;
#[cfg(test)]
mod tests;
mod workloads;

use super::Outcome;
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::resource_args;
use anyhow::Context;
use case::Case;
use cause::Cause;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when nothing is wrong, 1 when something is, or when the object cannot be read."
)]
pub struct WhyArgs {
    /// A pod (`web` or `pod/web`), deployment, replicaset, statefulset, daemonset, job, cronjob, pvc or namespace.
    #[arg(value_name = "OBJECT")]
    object: String,
}

pub async fn run(args: WhyArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let (text, causes) = match args.object.split_once('/') {
        None => pod(&session, &args.object).await?,
        Some(("pod" | "pods" | "po", name)) => pod(&session, name).await?,
        Some(_) => other(&session, &args.object).await?,
    };
    print!("{text}");
    Ok(if causes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn pod(session: &Session, name: &str) -> Result<(String, Vec<Cause>), anyhow::Error> {
    anyhow::ensure!(!name.is_empty(), "the pod's name may not be empty");
    let facts = gather::gather(session, name).await?;
    let causes = judge::why(&facts);
    Ok((cause::page(&facts, &causes), causes))
}

async fn other(session: &Session, typed: &str) -> Result<(String, Vec<Cause>), anyhow::Error> {
    let discovery = Discovery::load(&session.client).await?;
    let targets = resource_args::parse(&[typed.to_owned()])?;
    let resolved = resource_args::resolve(&discovery, &targets)?;
    let target = resolved.into_iter().next().context("an object is needed")?;
    let judge = judge_of(&target.resource.kind).with_context(|| {
        format!(
            "why knows pods, deployments, replicasets, replicationcontrollers, statefulsets, daemonsets, jobs, cronjobs, persistentvolumeclaims and namespaces, not {}: see `coracle describe {typed}`",
            target.resource.plural
        )
    })?;
    let name = target.name.context("the object's name is needed")?;
    let case = gather_case::gather_case(session, &discovery, &target.resource, &name).await?;
    let causes = judge(&case);
    let notes = match target.resource.kind.as_str() {
        "CronJob" => jobs::notes(&case),
        _ => Vec::new(),
    };
    Ok((
        cause::whole(&case.headline(&causes), &causes, notes),
        causes,
    ))
}

/// How a kind is judged.
fn judge_of(kind: &str) -> Option<fn(&Case) -> Vec<Cause>> {
    Some(match kind {
        "Deployment" => workloads::deployment,
        "ReplicaSet" | "ReplicationController" => workloads::replica_set,
        "StatefulSet" => workloads::stateful_set,
        "DaemonSet" => workloads::daemon_set,
        "Job" => jobs::job,
        "CronJob" => jobs::cron_job,
        "PersistentVolumeClaim" => remains::claim,
        "Namespace" => remains::namespace,
        _ => return None,
    })
}
