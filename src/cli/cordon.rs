//! `coracle cordon` and `coracle uncordon`: whether a node takes new pods.

use super::choose::{ChooseArgs, Chosen, Place, choose, list};
use super::connect::{ClientArgs, Session};
use super::discovery::{Discovery, Resource};
use super::outcome::{DryRun, OutcomeArgs};
use super::{Outcome, error};
use crate::client::PatchType;
use crate::object::access::truth;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct CordonArgs {
    /// Names of nodes.
    #[arg(value_name = "NODE", required_unless_present = "selector")]
    nodes: Vec<String>,
    /// Nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "nodes")]
    selector: Option<String>,
    /// none, client or server.
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
}

pub async fn run(args: CordonArgs, cordon: bool, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let nodes = nodes(&session, &discovery, &args.nodes, args.selector.as_deref()).await?;
    let mut failed = false;
    for node in &nodes {
        if let Err(cause) = set(&session, node, cordon, args.dry_run).await {
            error::print(&cause.context(format!(
                "unable to {} node {:?}",
                if cordon { "cordon" } else { "uncordon" },
                node.place.name
            )));
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

/// Nodes by name (`n` or `node/n`) or label.
pub async fn nodes(
    session: &Session,
    discovery: &Discovery,
    names: &[String],
    selector: Option<&str>,
) -> Result<Vec<Chosen>, anyhow::Error> {
    let args = ChooseArgs {
        selector: selector.map(str::to_owned),
        ..ChooseArgs::default()
    };
    if let Some(text) = selector {
        let resource = resource(discovery)?;
        let found = list(session, resource, &args).await?;
        anyhow::ensure!(!found.is_empty(), "no node has the labels {text:?}");
        return Ok(found);
    }
    let words: Vec<String> = names
        .iter()
        .map(|name| match name.split_once('/') {
            Some(_) => name.clone(),
            None => format!("node/{name}"),
        })
        .collect();
    let found = choose(session, discovery, &words, &args).await?;
    let other = found
        .iter()
        .find(|chosen| chosen.place.resource.plural != "nodes");
    if let Some(Chosen { place, .. }) = other {
        anyhow::bail!("{} is no node: name nodes only", place.label());
    }
    Ok(found)
}

fn resource(discovery: &Discovery) -> Result<&Resource, anyhow::Error> {
    discovery
        .by_kind("v1", "Node")
        .ok_or_else(|| anyhow::anyhow!("the server doesn't have a resource type \"nodes\""))
}

/// Sets `spec.unschedulable` where it is otherwise, and says so.
pub async fn set(
    session: &Session,
    node: &Chosen,
    cordon: bool,
    dry_run: DryRun,
) -> Result<(), anyhow::Error> {
    let outcome = OutcomeArgs {
        dry_run,
        ..OutcomeArgs::default()
    };
    let word = if cordon { "cordoned" } else { "uncordoned" };
    if truth(&node.object, "/spec/unschedulable") == cordon {
        return outcome.print(&node.place, &format!("already {word}"), &node.object);
    }
    if dry_run != DryRun::Client {
        patch(session, &node.place, cordon, dry_run).await?;
    }
    outcome.print(&node.place, word, &node.object)
}

async fn patch(
    session: &Session,
    place: &Place,
    cordon: bool,
    dry_run: DryRun,
) -> Result<(), anyhow::Error> {
    let wanted = if cordon { json!(true) } else { json!(null) };
    let patch = json!({"spec": {"unschedulable": wanted}});
    let query = dry_run.query();
    place
        .patch(session, None, PatchType::Merge, &patch, &query)
        .await?;
    Ok(())
}
