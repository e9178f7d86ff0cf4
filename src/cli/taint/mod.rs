//! `coracle taint`: sets and removes taints of nodes.
//!
//! In: `node n a=b:NoSchedule old-`. Out: one patch per node with its whole list, made against the version that was
//! read, so that two commands cannot undo each other. `spec` decides; this part asks and sends.

mod spec;

use super::Outcome;
use super::choose::{ChooseArgs, Chosen, choose};
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::error;
use super::outcome::{DryRun, OutcomeArgs};
use crate::client::PatchType;
use crate::object::access::{list, text};
use serde_json::json;
use spec::Changes;

#[derive(Debug, clap::Args)]
pub struct TaintArgs {
    /// `node n` or `nodes`, then `key=value:Effect` to set and `key-` or `key:Effect-` to remove.
    #[arg(value_name = "NODE | TAINT", required = true)]
    words: Vec<String>,
    /// Every node.
    #[arg(long)]
    all: bool,
    /// Nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Change taints that are there already.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    overwrite: bool,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

pub async fn run(args: TaintArgs, client: ClientArgs) -> Outcome {
    let begin = args.words.iter().position(|word| spec::is_taint(word));
    let (targets, taints) = args.words.split_at(begin.unwrap_or(args.words.len()));
    let changes = spec::parse(taints).map_err(anyhow::Error::msg)?;
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let choose_args = ChooseArgs {
        all: args.all,
        selector: args.selector.clone(),
        ..ChooseArgs::default()
    };
    let nodes = choose(&session, &discovery, targets, &choose_args).await?;
    let other = nodes
        .iter()
        .find(|chosen| chosen.place.resource.plural != "nodes");
    if let Some(Chosen { place, .. }) = other {
        anyhow::bail!(
            "invalid resource type {}, only node types are supported",
            place.resource.plural
        );
    }
    let mut failed = false;
    for node in &nodes {
        if let Err(cause) = taint(&args, &session, &changes, node).await {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

async fn taint(
    args: &TaintArgs,
    session: &Session,
    changes: &Changes,
    node: &Chosen,
) -> Result<(), anyhow::Error> {
    let current = list(&node.object, "/spec/taints");
    let (taints, word) = changes
        .apply(&node.place.name, current, args.overwrite)
        .map_err(anyhow::Error::msg)?;
    let patch = json!({
        "metadata": {"resourceVersion": text(&node.object, "/metadata/resourceVersion")},
        "spec": {"taints": taints},
    });
    let after = if args.outcome.dry_run == DryRun::Client {
        let mut object = node.object.clone();
        json_patch::merge(&mut object, &patch);
        object
    } else {
        let query = args.outcome.dry_run.query();
        node.place
            .patch(session, None, PatchType::Merge, &patch, &query)
            .await?
    };
    args.outcome.print(&node.place, word, &after)
}
