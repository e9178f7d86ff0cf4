//! `coracle edit`: an object in an editor, and back to the server what was changed.
//!
//! In: which objects; $KUBE_EDITOR, $EDITOR or vi. Out: a patch with the changed fields only, so that nobody else's
//! change is undone. What the server refuses is shown again with its reasons; no work is lost: where it ends without
//! success, a copy of the text stays and its place is told.

mod text;

use super::Outcome;
use super::apply::three_way;
use super::choose::{ChooseArgs, Chosen, choose};
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::manifest::FileArgs;
use super::outcome::{OutcomeArgs, Shown};
use super::print::document;
use super::scratch::{self, Scratch};
use crate::client::{ClientError, PatchType};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode};
use text::Edited;

/// Largest text that is read back: Kubernetes takes objects of up to 3 MiB, YAML may need twice that.
const TEXT_BYTES_MAX: u64 = 8 << 20;

#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// `pod web`, `pod/web svc/web`.
    #[arg(value_name = "RESOURCE")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// yaml or json.
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Shown,
    /// Edit this subresource, for example status.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Show metadata.managedFields.
    #[arg(long)]
    show_managed_fields: bool,
}

pub async fn run(args: EditArgs, client: ClientArgs) -> Outcome {
    anyhow::ensure!(
        args.output != Shown::Name,
        "an object cannot be edited as its name: -o yaml or -o json"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let choose_args = ChooseArgs {
        files: args.files.clone(),
        ..ChooseArgs::default()
    };
    let chosen = choose(&session, &discovery, &args.words, &choose_args).await?;
    for object in chosen {
        edit(&args, &session, object).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn edit(args: &EditArgs, session: &Session, chosen: Chosen) -> Result<(), anyhow::Error> {
    let Chosen { place, object } = chosen;
    let before = if args.show_managed_fields {
        object
    } else {
        document::without_managed_fields(object)
    };
    let scratch = Scratch::new("coracle-edit")?;
    let end = if args.output == Shown::Json {
        "json"
    } else {
        "yaml"
    };
    let name = format!("{}.{end}", place.name);
    let mut shown = text::page(&before, args.output, None)?;
    let mut problem: Option<String> = None;
    loop {
        let path = scratch.write(&name, &shown)?;
        open(&path)?;
        let back = read(&path)?;
        // Opened again and closed unchanged: the user has given up.
        if let Some(problem) = &problem
            && text::body(&back) == text::body(&shown)
        {
            return Err(gave_up(&back, end, problem));
        }
        let after = match text::read(&back) {
            Edited::Empty => {
                eprintln!("Edit cancelled, saved file was empty.");
                return Ok(());
            }
            Edited::Object(after) if after == before => {
                eprintln!("Edit cancelled, no changes made.");
                return Ok(());
            }
            Edited::Object(after) => after,
            Edited::Broken(why) => {
                shown = text::again(&text::body(&back), Some(&why));
                problem = Some(why);
                continue;
            }
        };
        let refused = match text::other_object(&before, &after) {
            Some(why) => why,
            None => match send(args, session, &place, &before, &after).await {
                Ok(object) => {
                    return OutcomeArgs::default().print(&place, "edited", &object);
                }
                Err(cause) if matches!(cause.code(), Some(400 | 422)) => format!(
                    "{} {:?} was not valid:\n* {cause}",
                    place.resource.plural, place.name
                ),
                Err(cause) => {
                    let kept = keep(&back, end)?;
                    return Err(anyhow::Error::from(cause).context(kept));
                }
            },
        };
        shown = text::again(&text::body(&back), Some(&refused));
        problem = Some(refused);
    }
}

async fn send(
    args: &EditArgs,
    session: &Session,
    place: &super::choose::Place,
    before: &Value,
    after: &Value,
) -> Result<Value, ClientError> {
    let built_in = three_way::is_built_in(&place.resource.group);
    let patch = three_way::patch(Some(before), after, before, built_in);
    let patch_type = if built_in {
        PatchType::StrategicMerge
    } else {
        PatchType::Merge
    };
    let query = [
        ("fieldManager", "coracle".to_owned()),
        ("fieldValidation", "Strict".to_owned()),
    ];
    let subresource = args.subresource.as_deref();
    place
        .patch(session, subresource, patch_type, &patch, &query)
        .await
}

/// Runs the user's editor, by a shell as kubectl does: it may bear arguments.
fn open(path: &Path) -> Result<(), anyhow::Error> {
    let editor = ["KUBE_EDITOR", "EDITOR"]
        .iter()
        .find_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|text| !text.trim().is_empty())
        })
        .unwrap_or_else(|| "vi".to_owned());
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(path)
        .status()
        .context("cannot run sh for the editor")?;
    anyhow::ensure!(
        status.success(),
        "there was a problem with the editor {editor:?}: {status}; set KUBE_EDITOR or EDITOR to one that is installed"
    );
    Ok(())
}

fn read(path: &Path) -> Result<String, anyhow::Error> {
    let size = std::fs::metadata(path)
        .context("the edited file is gone")?
        .len();
    anyhow::ensure!(
        size <= TEXT_BYTES_MAX,
        "the edited file is larger than {TEXT_BYTES_MAX} bytes"
    );
    std::fs::read_to_string(path).context("the edited file cannot be read")
}

fn gave_up(back: &str, end: &str, problem: &str) -> anyhow::Error {
    let kept = keep(back, end).unwrap_or_else(|cause| format!("{cause:#}"));
    anyhow::anyhow!("Edit cancelled, no valid changes were saved. {kept}\n{problem}")
}

/// Leaves the text behind, and says where.
fn keep(back: &str, end: &str) -> Result<String, anyhow::Error> {
    let name = format!("coracle-edit-{:08x}.{end}", rand::random::<u32>());
    let path = std::env::temp_dir().join(name);
    scratch::write(&path, back)?;
    Ok(format!(
        "A copy of your changes has been stored to {:?}",
        path.display().to_string()
    ))
}
