//! `coracle drain`: nodes take no new pods, and their pods leave.
//!
//! In: names of nodes, flags that say what may be lost. Out: nodes cordoned, pods evicted through the API's `eviction`
//! subresource (which heeds disruption budgets), lines as kubectl's. Nothing is touched while a pod of a node may not be
//! taken. `filter` decides; `evict` sees one pod off.

mod evict;
mod filter;

use super::choose::{ChooseArgs, Chosen, Place, list};
use super::connect::{ClientArgs, Session};
use super::cordon;
use super::discovery::Discovery;
use super::outcome::{DryRun, OutcomeArgs};
use super::{Outcome, error};
use crate::object::access::{list as list_at, text, truth};
use crate::object::duration;
use anyhow::Context;
use evict::Leaving;
use filter::{Allowed, Verdict};
use futures::StreamExt;
use http::Method;
use std::time::Duration;

/// Pods on their way at once: each keeps a watch open.
const LEAVING_MAX: usize = 16;

#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    /// Names of nodes.
    #[arg(value_name = "NODE", required_unless_present = "selector")]
    nodes: Vec<String>,
    /// Nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "nodes")]
    selector: Option<String>,
    /// Leave pods of DaemonSets where they are.
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Take pods that have an emptyDir; its data is lost.
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Take pods that no controller makes anew.
    #[arg(long)]
    force: bool,
    /// Seconds a pod gets to end by itself; negative: its own.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// How long for all together, for example 5m; 0: without end.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse_ms)]
    timeout: i64,
    /// Only pods with these labels.
    #[arg(long, value_name = "SELECTOR")]
    pod_selector: Option<String>,
    /// Delete pods instead of evicting them: disruption budgets are not heeded.
    #[arg(long)]
    disable_eviction: bool,
    /// Pods told to go more than so many seconds ago are not waited for; 0: all are.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skip_wait_for_delete_timeout: u32,
    /// none, client or server.
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
}

impl DrainArgs {
    fn allowed(&self) -> Allowed {
        Allowed {
            ignore_daemon_sets: self.ignore_daemonsets,
            delete_empty_dir_data: self.delete_emptydir_data,
            force: self.force,
            skip_deleted_seconds: i64::from(self.skip_wait_for_delete_timeout),
        }
    }
}

pub async fn run(args: DrainArgs, client: ClientArgs) -> Outcome {
    anyhow::ensure!(args.timeout >= 0, "--timeout must not be negative");
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let selector = args.selector.as_deref();
    let nodes = cordon::nodes(&session, &discovery, &args.nodes, selector).await?;
    for node in &nodes {
        cordon::set(&session, node, true, args.dry_run)
            .await
            .with_context(|| format!("unable to cordon node {:?}", node.place.name))?;
    }
    let mut failed = false;
    for (index, node) in nodes.iter().enumerate() {
        match drain(&args, &session, &discovery, node).await {
            Ok(()) => {
                let outcome = OutcomeArgs {
                    dry_run: args.dry_run,
                    ..OutcomeArgs::default()
                };
                outcome.print(&node.place, "drained", &node.object)?;
            }
            Err(cause) => {
                eprintln!(
                    "error: unable to drain node {:?} due to error: {}, continuing command...",
                    node.place.name,
                    error::text(&cause).trim_start_matches("error: ")
                );
                eprintln!("There are pending nodes to be drained:");
                for pending in &nodes[index..] {
                    eprintln!(" {}", pending.place.name);
                }
                error::print(&cause);
                failed = true;
            }
        }
    }
    Ok(error::exit_code(failed))
}

async fn drain(
    args: &DrainArgs,
    session: &Session,
    discovery: &Discovery,
    node: &Chosen,
) -> Result<(), anyhow::Error> {
    let pods = pods(args, session, discovery, &node.place.name).await?;
    let mut leaving = Vec::new();
    let (mut warnings, mut refusals) = (Vec::new(), Vec::new());
    let now = jiff::Timestamp::now().as_second();
    for pod in pods {
        let owner_exists = daemon_set_exists(session, discovery, &pod).await?;
        let name = format!("{}/{}", pod.place.namespace, pod.place.name);
        match filter::verdict(&pod.object, args.allowed(), owner_exists, now) {
            Verdict::Take => leaving.push(pod),
            Verdict::TakeWarning(reason) => {
                warnings.push((reason, name));
                leaving.push(pod);
            }
            Verdict::Leave => {}
            Verdict::LeaveWarning(reason) => warnings.push((reason, name)),
            Verdict::Refuse(reason) => refusals.push((reason, name)),
        }
    }
    anyhow::ensure!(refusals.is_empty(), filter::sentences(&refusals, ", "));
    if !warnings.is_empty() {
        eprintln!("Warning: {}", filter::sentences(&warnings, "; "));
    }
    let core = session.client.send_value(Method::GET, "/api/v1", None);
    let evicts = !args.disable_eviction && evict::has_eviction(&core.await?);
    let all = see_off(args, session, &leaving, evicts);
    if args.timeout == 0 {
        return all.await;
    }
    let limit = Duration::from_millis(u64::try_from(args.timeout).unwrap_or_default());
    tokio::time::timeout(limit, all).await.unwrap_or_else(|_| {
        anyhow::bail!(
            "error when evicting the pods of node {:?}: global timeout reached: {} s",
            node.place.name,
            limit.as_secs_f64()
        )
    })
}

async fn see_off(
    args: &DrainArgs,
    session: &Session,
    pods: &[Chosen],
    evicts: bool,
) -> Result<(), anyhow::Error> {
    let each = pods.iter().map(|pod| async move {
        let leaving = Leaving {
            session,
            args,
            place: &pod.place,
            uid: text(&pod.object, "/metadata/uid"),
            evicts,
        };
        leaving.run().await
    });
    let mut done = futures::stream::iter(each).buffer_unordered(LEAVING_MAX);
    let mut failures = Vec::new();
    while let Some(outcome) = done.next().await {
        failures.extend(outcome.err().map(|cause| format!("{cause:#}")));
    }
    anyhow::ensure!(failures.is_empty(), failures.join(", "));
    Ok(())
}

/// The node's pods that the selector leaves.
async fn pods(
    args: &DrainArgs,
    session: &Session,
    discovery: &Discovery,
    node: &str,
) -> Result<Vec<Chosen>, anyhow::Error> {
    let resource = discovery
        .by_kind("v1", "Pod")
        .context("the server doesn't have a resource type \"pods\"")?;
    let choose = ChooseArgs {
        selector: args.pod_selector.clone(),
        field_selector: Some(format!("spec.nodeName={node}")),
        all_namespaces: true,
        ..ChooseArgs::default()
    };
    Ok(list(session, resource, &choose).await?)
}

/// Whether the DaemonSet that owns `pod` is there; true for pods of others.
async fn daemon_set_exists(
    session: &Session,
    discovery: &Discovery,
    pod: &Chosen,
) -> Result<bool, anyhow::Error> {
    let owner = list_at(&pod.object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| truth(owner, "/controller") && text(owner, "/kind") == "DaemonSet");
    let (Some(owner), Some(resource)) = (owner, discovery.by_kind("apps/v1", "DaemonSet")) else {
        return Ok(owner.is_none());
    };
    let place = Place {
        resource: resource.clone(),
        namespace: pod.place.namespace.clone(),
        name: text(owner, "/name").to_owned(),
    };
    match place.fetch(session, None).await {
        Ok(_) => Ok(true),
        Err(cause) if cause.is_not_found() => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}
