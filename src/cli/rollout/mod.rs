//! `coracle rollout`: how far a Deployment, `DaemonSet` or `StatefulSet` has come, its revisions, back to one of them.
//!
//! In: objects on the server, with their `ReplicaSet`s or `ControllerRevision`s. Out: lines as kubectl writes them,
//! patches of templates.
//!
//! `status` and `history` hold what is pure; this file fetches, patches and prints.

mod history;
mod status;

use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::get::until_some;
use super::manifest::FileArgs;
use super::selection::{Chosen, Selection, Wanted};
use super::write_args::{DryRun, Format, Speaker, WriteArgs};
use super::{Outcome, print::document};
use crate::client::PatchType;
use crate::object::access::truth;
use crate::object::duration::parse_seconds;
use clap::Subcommand;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct RolloutArgs {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Tell how far it is, until it is through.
    Status(StatusArgs),
    /// List the revisions.
    History(HistoryArgs),
    /// Go back to a revision.
    Undo(UndoArgs),
    /// Replace all pods with new ones of the same template.
    Restart(ChangeArgs),
    /// Hold changes of a deployment back.
    Pause(ChangeArgs),
    /// Let a deployment's changes go on.
    Resume(ChangeArgs),
}

/// Which objects.
#[derive(Debug, clap::Args)]
struct Which {
    /// `deployment web`, `ds/agent sts/db`, or a kind.
    #[arg(value_name = "RESOURCE")]
    resources: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// Objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    which: Which,
    /// Stay until it is through.
    #[arg(short, long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    watch: bool,
    /// Only this revision; another one is an error.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    revision: i64,
    /// How long to stay, for example 30s; default: until it is through.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    timeout: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct HistoryArgs {
    #[command(flatten)]
    which: Which,
    /// Show this revision's pod template.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    revision: i64,
    /// yaml or json: the revisions' objects.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, clap::Args)]
struct UndoArgs {
    #[command(flatten)]
    which: Which,
    /// The revision; 0: the one before the last.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    to_revision: i64,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, clap::Args)]
struct ChangeArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    write: WriteArgs,
}

impl Which {
    async fn find(&self, session: &Session) -> Result<Selection, anyhow::Error> {
        anyhow::ensure!(
            !self.resources.is_empty() || !self.files.filename.is_empty(),
            "required resource not specified"
        );
        let discovery = Discovery::load(&session.client).await?;
        let wanted = Wanted {
            resources: &self.resources,
            files: &self.files,
            selector: self.selector.as_deref(),
            all: true,
        };
        wanted.find(session, &discovery).await
    }
}

pub async fn run(args: RolloutArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let which = match &args.step {
        Step::Status(args) => &args.which,
        Step::History(args) => &args.which,
        Step::Undo(args) => &args.which,
        Step::Restart(args) | Step::Pause(args) | Step::Resume(args) => &args.which,
    };
    let mut selection = which.find(&session).await?;
    let chosen = std::mem::take(&mut selection.chosen);
    if chosen.is_empty() && !selection.failed {
        anyhow::bail!("no objects found");
    }
    let speaker = match &args.step {
        Step::Undo(args) => Some(Speaker::new(&args.write)),
        Step::Restart(args) | Step::Pause(args) | Step::Resume(args) => {
            Some(Speaker::new(&args.write))
        }
        Step::Status(_) | Step::History(_) => None,
    };
    for chosen in &chosen {
        let done = match &args.step {
            Step::Status(args) => tell_status(&session, args, chosen).await,
            Step::History(args) => tell_history(&session, args, chosen).await,
            Step::Undo(args) => undo(&session, args, chosen, speaker.as_ref()).await,
            Step::Restart(args) => {
                let change = restart(chosen, jiff::Timestamp::now());
                patch(
                    &session,
                    &args.write,
                    chosen,
                    change,
                    "restarted",
                    speaker.as_ref(),
                )
                .await
            }
            Step::Pause(args) => {
                let change = pause(chosen, true);
                patch(
                    &session,
                    &args.write,
                    chosen,
                    change,
                    "paused",
                    speaker.as_ref(),
                )
                .await
            }
            Step::Resume(args) => {
                let change = pause(chosen, false);
                patch(
                    &session,
                    &args.write,
                    chosen,
                    change,
                    "resumed",
                    speaker.as_ref(),
                )
                .await
            }
        };
        if let Err(cause) = done {
            selection.fail(&cause);
        }
    }
    Ok(selection.exit_code())
}

/// A template changes with the time in its annotation: that is the restart.
fn restart(chosen: &Chosen, now: jiff::Timestamp) -> Result<Value, anyhow::Error> {
    known(chosen, "restarting is not supported")?;
    anyhow::ensure!(
        !truth(&chosen.object, "/spec/paused"),
        "can't restart paused deployment (run rollout resume first)"
    );
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Ok(
        json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}}),
    )
}

fn pause(chosen: &Chosen, paused: bool) -> Result<Value, anyhow::Error> {
    let verb = if paused { "pausing" } else { "resuming" };
    anyhow::ensure!(
        chosen.resource.group == "apps" && chosen.resource.kind == "Deployment",
        "{} {verb} is not supported",
        chosen.label()
    );
    anyhow::ensure!(
        truth(&chosen.object, "/spec/paused") != paused,
        "{} {} is {} paused",
        chosen.label(),
        chosen.name,
        if paused { "already" } else { "not" }
    );
    let value = if paused { json!(true) } else { Value::Null };
    Ok(json!({"spec": {"paused": value}}))
}

fn known(chosen: &Chosen, refusal: &str) -> Result<(), anyhow::Error> {
    let kind = chosen.resource.kind.as_str();
    anyhow::ensure!(
        chosen.resource.group == "apps"
            && matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet"),
        "{} {refusal}",
        chosen.label()
    );
    Ok(())
}

async fn patch(
    session: &Session,
    write: &WriteArgs,
    chosen: &Chosen,
    change: Result<Value, anyhow::Error>,
    done: &str,
    speaker: Option<&Speaker<'_>>,
) -> Result<(), anyhow::Error> {
    let change = change?;
    let mut object = chosen.object.clone();
    if write.is_client() {
        json_patch::merge(&mut object, &change);
    } else {
        object = write
            .patch(session, &chosen.path(), PatchType::StrategicMerge, &change)
            .await?;
    }
    speaker.map_or(Ok(()), |speaker| {
        speaker.say(&chosen.resource, &object, done)
    })
}

async fn tell_status(
    session: &Session,
    args: &StatusArgs,
    chosen: &Chosen,
) -> Result<(), anyhow::Error> {
    anyhow::ensure!(
        args.revision >= 0,
        "revision must be a positive integer: {}",
        args.revision
    );
    known(chosen, "has no rollout status")?;
    let kind = chosen.resource.kind.as_str();
    let place = (chosen.namespace.as_str(), chosen.name.as_str());
    let limit = args.timeout.map(Duration::from_secs);
    let mut said = String::new();
    until_some(session, &chosen.resource, place, limit, |object| {
        let status = status::of(kind, object, args.revision)?;
        // A change that says nothing new is not said again.
        if status.text != said {
            println!("{}", status.text);
            said.clone_from(&status.text);
        }
        Ok((status.done || !args.watch).then_some(()))
    })
    .await
}

async fn tell_history(
    session: &Session,
    args: &HistoryArgs,
    chosen: &Chosen,
) -> Result<(), anyhow::Error> {
    known(chosen, "has no rollout history")?;
    anyhow::ensure!(
        args.revision >= 0,
        "revision must be a positive integer: {}",
        args.revision
    );
    let revisions = history::fetch(session, chosen).await?;
    if let Some(format) = args.output {
        for revision in history::chosen(&revisions, args.revision)? {
            match format {
                Format::Json => print!("{}", document::json(&revision.object)?),
                Format::Yaml => print!("---\n{}", document::yaml(&revision.object)?),
                Format::Name => println!("{}", chosen.label()),
            }
        }
        return Ok(());
    }
    if args.revision > 0 {
        let found = history::chosen(&revisions, args.revision)?;
        println!("{} with revision #{}", chosen.label(), args.revision);
        for revision in found {
            print!("{}", history::template_text(&revision.template)?);
        }
        return Ok(());
    }
    println!("{}", chosen.label());
    println!("{}", history::table(&revisions));
    Ok(())
}

async fn undo(
    session: &Session,
    args: &UndoArgs,
    chosen: &Chosen,
    speaker: Option<&Speaker<'_>>,
) -> Result<(), anyhow::Error> {
    known(chosen, "cannot be rolled back")?;
    let revisions = history::fetch(session, chosen).await?;
    let target = history::target(&revisions, args.to_revision)?;
    if args.write.dry_run == DryRun::Client && args.write.output.is_none() {
        print!(
            "{} will roll back to {}",
            chosen.label(),
            history::template_text(&target.template)?
        );
        return Ok(());
    }
    anyhow::ensure!(
        !truth(&chosen.object, "/spec/paused"),
        "you cannot rollback a paused deployment; resume it first with 'coracle rollout resume' and try again"
    );
    if history::same_template(&target.template, &chosen.object["spec"]["template"]) {
        println!(
            "{} skipped rollback (current template already matches revision {})",
            chosen.label(),
            args.to_revision
        );
        return Ok(());
    }
    let (how, change) = history::rollback(chosen, target);
    let mut object = chosen.object.clone();
    if args.write.is_client() {
        object["spec"]["template"] = target.template.clone();
    } else {
        object = args
            .write
            .patch(session, &chosen.path(), how, &change)
            .await
            .map_err(|cause| {
                anyhow::anyhow!("failed restoring revision {}: {cause}", args.to_revision)
            })?;
    }
    speaker.map_or(Ok(()), |speaker| {
        speaker.say(&chosen.resource, &object, "rolled back")
    })
}
