//! `coracle diff`: what an apply of manifests would change.
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_diff/>
//!
//! In: manifests. Out: differences between the objects as they are and as the server would make them; exit code 0 where
//! there are none, 1 where there are, more where something went wrong. The server only tries (`dryRun=All`).
//! Compares with $KUBECTL_EXTERNAL_DIFF, with `diff -u -N`, or by itself where the host has neither.

mod masked;

use super::Outcome;
use super::apply::Target;
use super::choose::{Chosen, from_files};
use super::connect::ClientArgs;
use super::discovery::Discovery;
use super::error;
use super::manifest::FileArgs;
use super::scratch::Scratch;
use crate::object::selector::LabelSelector;
use anyhow::Context;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Lines around a change; `diff -u`'s.
const CONTEXT_LINES: usize = 3;

/// `diff`'s exit code for trouble; 1 says that there are differences.
const TROUBLE: u8 = 2;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 without differences, 1 with, more when something went wrong.")]
pub struct DiffArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Only manifests with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = LabelSelector::parse)]
    selector: Option<LabelSelector>,
    /// Compare metadata.managedFields too.
    #[arg(long)]
    show_managed_fields: bool,
}

/// Two files of the same name, in two directories.
struct Pair {
    name: String,
    live: String,
    merged: String,
}

pub async fn run(args: DiffArgs, client: ClientArgs) -> Outcome {
    match compare(args, client).await {
        Ok(differs) => Ok(ExitCode::from(u8::from(differs))),
        Err(cause) => {
            error::print(&cause);
            Ok(ExitCode::from(TROUBLE))
        }
    }
}

async fn compare(args: DiffArgs, client: ClientArgs) -> Result<bool, anyhow::Error> {
    anyhow::ensure!(
        !args.files.filename.is_empty(),
        "must specify -f with a file, a directory or `-` for standard input"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let mut pairs = Vec::new();
    for Chosen { place, object } in from_files(&session, &discovery, &args.files)? {
        let selector = args.selector.as_ref();
        if selector.is_some_and(|selector| !selector.matches_object(&object)) {
            continue;
        }
        let target = Target {
            session: &session,
            resource: &place.resource,
            namespace: &place.namespace,
            name: &place.name,
            parameter: "Strict",
        };
        let (live, merged) = target
            .preview(&object)
            .await
            .with_context(|| place.label())?;
        let (live, merged) = masked::texts(&live, &merged, args.show_managed_fields)?;
        let group = match place.resource.group.as_str() {
            "" => place.resource.version.clone(),
            group => format!("{group}.{}", place.resource.version),
        };
        let kind = &place.resource.kind;
        let name = format!("{group}.{kind}.{}.{}", place.namespace, place.name);
        pairs.push(Pair { name, live, merged });
    }
    show(&pairs)
}

/// Shows the differences; whether there are any.
fn show(pairs: &[Pair]) -> Result<bool, anyhow::Error> {
    let (live, merged) = (Scratch::new("LIVE")?, Scratch::new("MERGED")?);
    for pair in pairs {
        for (scratch, text) in [(&live, &pair.live), (&merged, &pair.merged)] {
            if !text.is_empty() {
                scratch.write(&pair.name, text)?;
            }
        }
    }
    let external = std::env::var("KUBECTL_EXTERNAL_DIFF")
        .ok()
        .filter(|command| !command.trim().is_empty());
    let command = external.as_deref().unwrap_or("diff -u -N");
    let mut words = command.split_whitespace();
    let program = words.next().context("KUBECTL_EXTERNAL_DIFF is blank")?;
    let status = Command::new(program)
        .args(words)
        .args([live.path(), merged.path()])
        .status();
    match status {
        Ok(status) => match status.code() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => anyhow::bail!("{command}: it ended with {status}"),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound && external.is_none() => {
            let text: String = pairs
                .iter()
                .map(|pair| unified(pair, live.path(), merged.path()))
                .collect();
            std::io::stdout().write_all(text.as_bytes())?;
            Ok(!text.is_empty())
        }
        Err(cause) => Err(cause).with_context(|| format!("cannot run {command}")),
    }
}

/// As `diff -u -N` writes it; nothing where both are the same.
fn unified(pair: &Pair, live: &Path, merged: &Path) -> String {
    if pair.live == pair.merged {
        return String::new();
    }
    let (before, after) = (live.join(&pair.name), merged.join(&pair.name));
    let (before, after) = (before.display().to_string(), after.display().to_string());
    let changes = similar::TextDiff::from_lines(&pair.live, &pair.merged);
    let mut hunks = changes.unified_diff();
    format!(
        "diff -u -N {before} {after}\n{}",
        hunks.context_radius(CONTEXT_LINES).header(&before, &after)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_read_as_diffs() {
        let pair = |live: &str, merged: &str| Pair {
            name: "v1.ConfigMap.default.c".to_owned(),
            live: live.to_owned(),
            merged: merged.to_owned(),
        };
        let text = unified(
            &pair("a: 1\nb: 2\n", "a: 1\nb: 3\n"),
            Path::new("L"),
            Path::new("M"),
        );
        assert_eq!(
            text,
            "diff -u -N L/v1.ConfigMap.default.c M/v1.ConfigMap.default.c\n--- L/v1.ConfigMap.default.c\n+++ M/v1.ConfigMap.default.c\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        );
        assert!(unified(&pair("a", "a"), Path::new("L"), Path::new("M")).is_empty());
    }
}
