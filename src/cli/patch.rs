//! `coracle patch`: changes fields of an object as a patch says.
//! <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/>

use super::Outcome;
use super::choose::{Chosen, Place, from_files, named};
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::error;
use super::manifest::FileArgs;
use super::outcome::{DryRun, OutcomeArgs};
use crate::client::PatchType;
use anyhow::Context;
use clap::ValueEnum;
use serde_json::Value;
use std::path::PathBuf;

/// Largest patch file: Kubernetes takes request bodies of up to 3 MiB.
const PATCH_BYTES_MAX: u64 = 3 << 20;

#[derive(Debug, clap::Args)]
pub struct PatchArgs {
    /// `pod web`, `pod/web`.
    #[arg(value_name = "RESOURCE")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// How the patch is written.
    #[arg(long = "type", value_name = "TYPE", default_value = "strategic")]
    patch_type: Type,
    /// The patch, in JSON or YAML.
    #[arg(
        short,
        long,
        value_name = "PATCH",
        required_unless_present = "patch_file",
        conflicts_with = "patch_file"
    )]
    patch: Option<String>,
    /// A file with the patch.
    #[arg(long, value_name = "FILE")]
    patch_file: Option<PathBuf>,
    /// Patch this subresource, for example status or scale.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    Strategic,
    Merge,
    Json,
}

impl Type {
    fn of(self) -> PatchType {
        match self {
            Type::Strategic => PatchType::StrategicMerge,
            Type::Merge => PatchType::Merge,
            Type::Json => PatchType::Json,
        }
    }
}

pub async fn run(args: PatchArgs, client: ClientArgs) -> Outcome {
    let patch = read(&args)?;
    anyhow::ensure!(
        args.outcome.dry_run != DryRun::Client || args.patch_type != Type::Strategic,
        "--dry-run=client knows the types json and merge only: use --dry-run=server"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let places = places(&session, &discovery, &args)?;
    let mut failed = false;
    for place in &places {
        if let Err(cause) = patch_one(&args, &session, place, &patch).await {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

fn places(
    session: &Session,
    discovery: &Discovery,
    args: &PatchArgs,
) -> Result<Vec<Place>, anyhow::Error> {
    if !args.files.filename.is_empty() {
        anyhow::ensure!(args.words.is_empty(), "with -f, names cannot be given");
        let found = from_files(session, discovery, &args.files)?;
        return Ok(found
            .into_iter()
            .map(|Chosen { place, .. }| place)
            .collect());
    }
    named(session, discovery, &args.words)?
        .into_iter()
        .map(|(_, place)| {
            place.context("resource name may not be empty: name the objects to patch")
        })
        .collect()
}

fn read(args: &PatchArgs) -> Result<Value, anyhow::Error> {
    let text = match &args.patch_file {
        None => args.patch.clone().unwrap_or_default(),
        Some(path) => {
            let name = path.display();
            let size = std::fs::metadata(path)
                .with_context(|| format!("the patch file {name}"))?
                .len();
            anyhow::ensure!(
                size <= PATCH_BYTES_MAX,
                "the patch file {name} is larger than {PATCH_BYTES_MAX} bytes"
            );
            std::fs::read_to_string(path).with_context(|| format!("the patch file {name}"))?
        }
    };
    parse(&text, args.patch_type)
}

fn parse(text: &str, patch_type: Type) -> Result<Value, anyhow::Error> {
    let patch: Value = serde_saphyr::from_str(text)
        .map_err(|cause| anyhow::anyhow!("unable to parse the patch: {cause}"))?;
    match patch_type {
        Type::Json => anyhow::ensure!(
            patch.is_array(),
            "a patch of type json is a list of operations, for example [{{\"op\": \"remove\", \"path\": \"/spec/x\"}}]"
        ),
        Type::Merge | Type::Strategic => anyhow::ensure!(
            patch.is_object(),
            "a patch is an object with the fields to change (or give --type=json with a list of operations)"
        ),
    }
    Ok(patch)
}

async fn patch_one(
    args: &PatchArgs,
    session: &Session,
    place: &Place,
    patch: &Value,
) -> Result<(), anyhow::Error> {
    let subresource = args.subresource.as_deref();
    let before = place.fetch(session, subresource).await?;
    let after = if args.outcome.dry_run == DryRun::Client {
        tried(args.patch_type, &before, patch)?
    } else {
        let query = args.outcome.dry_run.query();
        let patch_type = args.patch_type.of();
        place
            .patch(session, subresource, patch_type, patch, &query)
            .await?
    };
    let word = if before == after {
        "patched (no change)"
    } else {
        "patched"
    };
    args.outcome.print(place, word, &after)
}

/// The object as the patch would make it, before the server's defaults.
fn tried(patch_type: Type, before: &Value, patch: &Value) -> Result<Value, anyhow::Error> {
    let mut after = before.clone();
    if patch_type == Type::Json {
        let patch: json_patch::Patch = serde_json::from_value(patch.clone())?;
        json_patch::patch(&mut after, &patch)?;
    } else {
        json_patch::merge(&mut after, patch);
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_are_read_by_their_type() {
        for (text, patch_type, valid) in [
            ("{\"a\": 1}", Type::Merge, true),
            ("a: {b: 1}", Type::Strategic, true),
            ("[{\"op\": \"remove\", \"path\": \"/a\"}]", Type::Json, true),
            ("{\"a\": 1}", Type::Json, false),
            ("[]", Type::Merge, false),
            ("{\"a\"", Type::Merge, false),
            ("", Type::Merge, false),
        ] {
            assert_eq!(parse(text, patch_type).is_ok(), valid, "{text}");
        }
        let before = json!({"a": 1, "b": 2});
        let after = tried(Type::Merge, &before, &json!({"a": null})).unwrap();
        assert_eq!(after, json!({"b": 2}));
        let operations = json!([{"op": "remove", "path": "/z"}]);
        assert!(tried(Type::Json, &before, &operations).is_err());
    }
}
