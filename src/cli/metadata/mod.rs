//! Labels and annotations, which `label` and `annotate` change in the same way.
//!
//! In: the words and flags of either verb. Out: one merge patch per object, and a line about it. Only the named keys
//! are ever sent, so that nobody else's change is lost.

mod pairs;

use super::Outcome;
use super::choose::{ChooseArgs, Chosen, choose};
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::error;
use super::outcome::{DryRun, OutcomeArgs};
use crate::client::PatchType;
use crate::object::access::map as map_at;
use pairs::Pairs;

/// Which map of `metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    Labels,
    Annotations,
}

impl Map {
    fn field(self) -> &'static str {
        match self {
            Map::Labels => "labels",
            Map::Annotations => "annotations",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Map::Labels => "label",
            Map::Annotations => "annotation",
        }
    }

    fn article(self) -> &'static str {
        match self {
            Map::Labels => "a label",
            Map::Annotations => "an annotation",
        }
    }

    fn pointer(self) -> &'static str {
        match self {
            Map::Labels => "/metadata/labels",
            Map::Annotations => "/metadata/annotations",
        }
    }
}

/// Flags of both verbs.
#[derive(Debug, clap::Args)]
pub struct MetadataArgs {
    /// What to change, then `key=value` to set and `key-` to remove: `pod web app=web old-`.
    #[arg(value_name = "RESOURCE | KEY=VALUE | KEY-")]
    words: Vec<String>,
    #[command(flatten)]
    choose: ChooseArgs,
    /// Change values that are there already.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    overwrite: bool,
    /// Print what the object has (or would have).
    #[arg(long)]
    list: bool,
    /// Change only while the object has this resourceVersion; for a single object.
    #[arg(long, value_name = "VERSION")]
    resource_version: Option<String>,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

pub async fn run(map: Map, args: MetadataArgs, client: ClientArgs) -> Outcome {
    let (targets, pairs) = pairs::split(&args.words, map).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(
        !pairs.is_empty() || args.list,
        "at least one {} update is required",
        map.noun()
    );
    anyhow::ensure!(
        !targets.is_empty() || !args.choose.files.filename.is_empty(),
        "one or more resources must be specified as <resource> <name> or <resource>/<name>"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let chosen = choose(&session, &discovery, &targets, &args.choose).await?;
    anyhow::ensure!(
        args.resource_version.is_none() || chosen.len() == 1,
        "--resource-version may only be used with a single resource"
    );
    let mut failed = false;
    for object in &chosen {
        if args.list {
            list(map, &pairs, object, chosen.len() > 1);
            continue;
        }
        if let Err(cause) = change(map, &args, &pairs, &session, object).await {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

async fn change(
    map: Map,
    args: &MetadataArgs,
    pairs: &Pairs,
    session: &Session,
    chosen: &Chosen,
) -> Result<(), anyhow::Error> {
    let current = map_at(&chosen.object, map.pointer());
    if !args.overwrite {
        pairs.check(current, map).map_err(anyhow::Error::msg)?;
    }
    for key in pairs.absent(current) {
        println!("{} {key:?} not found.", map.noun());
    }
    let verb = pairs.verb(current, map);
    let patch = pairs.patch(map, args.resource_version.as_deref());
    let after = if args.outcome.dry_run == DryRun::Client {
        let mut object = chosen.object.clone();
        json_patch::merge(&mut object, &patch);
        object
    } else if pairs.changes(current) || args.resource_version.is_some() {
        let query = args.outcome.dry_run.query();
        let place = &chosen.place;
        place
            .patch(session, None, PatchType::Merge, &patch, &query)
            .await?
    } else {
        chosen.object.clone()
    };
    args.outcome.print(&chosen.place, verb, &after)
}

/// The map as it is, or as the pairs would make it.
fn list(map: Map, pairs: &Pairs, chosen: &Chosen, several: bool) {
    let mut object = chosen.object.clone();
    json_patch::merge(&mut object, &pairs.patch(map, None));
    let mut indent = "";
    if several {
        let resource = &chosen.place.resource;
        eprintln!(
            "Listing {} for {}.{}/{}:",
            map.field(),
            resource.kind,
            resource.group,
            chosen.place.name
        );
        indent = " ";
    }
    for (key, value) in map_at(&object, map.pointer()) {
        println!("{indent}{key}={}", value.as_str().unwrap_or_default());
    }
}
