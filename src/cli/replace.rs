//! `coracle replace`: objects become what manifests say, as a whole.

use super::Outcome;
use super::choose::{Chosen, from_files, send};
use super::connect::{ClientArgs, Session};
use super::delete::{Cascade, Manner, Victim, delete, wait};
use super::discovery::Discovery;
use super::error;
use super::manifest::FileArgs;
use super::outcome::{DryRun, OutcomeArgs};
use anyhow::Context;
use http::Method;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct ReplaceArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Delete each object and create it anew.
    #[arg(long)]
    force: bool,
    /// With --force: seconds a pod gets to end by itself; -1: its own.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true, requires = "force")]
    grace_period: i64,
    /// With --force: seconds to wait until an object is gone; 0: without end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "force")]
    timeout: u64,
    /// Replace this subresource, for example status.
    #[arg(long, value_name = "NAME", conflicts_with = "force")]
    subresource: Option<String>,
    #[command(flatten)]
    outcome: OutcomeArgs,
}

pub async fn run(args: ReplaceArgs, client: ClientArgs) -> Outcome {
    anyhow::ensure!(
        !args.files.filename.is_empty(),
        "must specify -f with a file, a directory or `-` for standard input"
    );
    anyhow::ensure!(
        !args.force || args.outcome.dry_run == DryRun::None,
        "--dry-run can not be used when --force is set"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let mut failed = false;
    for chosen in from_files(&session, &discovery, &args.files)? {
        let done = if args.force {
            anew(&args, &session, &chosen).await
        } else {
            replace(&args, &session, &chosen).await
        };
        if let Err(cause) = done {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

async fn replace(
    args: &ReplaceArgs,
    session: &Session,
    chosen: &Chosen,
) -> Result<(), anyhow::Error> {
    let after = if args.outcome.dry_run == DryRun::Client {
        chosen.object.clone()
    } else {
        let query = args.outcome.dry_run.query();
        let subresource = args.subresource.as_deref();
        let place = &chosen.place;
        place
            .put(session, subresource, &chosen.object, &query)
            .await
            .with_context(|| format!("error when replacing {:?}", place.label()))?
    };
    args.outcome.print(&chosen.place, "replaced", &after)
}

/// Deletes the object if it is there, waits until it is gone, and creates it.
async fn anew(args: &ReplaceArgs, session: &Session, chosen: &Chosen) -> Result<(), anyhow::Error> {
    let place = &chosen.place;
    let victim = Victim {
        resource: place.resource.clone(),
        namespace: place.namespace.clone(),
        name: place.name.clone(),
        source: None,
    };
    let manner = Manner {
        cascade: Cascade::Background,
        grace_seconds: (args.grace_period >= 0).then_some(args.grace_period),
        wait: true,
    };
    match delete(session, &victim, manner).await {
        Ok(uid) => {
            println!("{} \"{}\" deleted", place.resource.label(), place.name);
            let gone = wait(session, &victim, uid.as_deref());
            if args.timeout == 0 {
                gone.await?;
            } else {
                tokio::time::timeout(Duration::from_secs(args.timeout), gone)
                    .await
                    .map_err(|_| {
                        anyhow::anyhow!("timed out waiting for {} to be gone", place.label())
                    })??;
            }
        }
        Err(cause) if cause.is_not_found() => {}
        Err(cause) => return Err(cause.into()),
    }
    let mut object = chosen.object.clone();
    // An object that was read from the server still bears what only the old one had.
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("uid");
    }
    let path = place.resource.path(Some(&place.namespace), None);
    let query = args.outcome.dry_run.query();
    let media = ("application/json", &object);
    let after = send(session, Method::POST, &path, &query, media).await?;
    args.outcome.print(place, "replaced", &after)
}
