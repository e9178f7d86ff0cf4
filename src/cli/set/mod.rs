//! `coracle set`: one thing of a pod template, or of a Service or a binding.
//!
//! In: objects on the server, or of files with --local. Out: a patch of what changes, or the changed object.
//!
//! `change` holds what each verb does to an object; it is pure.

mod change;

use super::connect::ClientArgs;
use super::create::SubjectArgs;
use super::discovery::{Discovery, Resource};
use super::manifest::FileArgs;
use super::selection::Wanted;
use super::write_args::{DryRun, Speaker, WriteArgs};
use super::{Outcome, error};
use crate::client::PatchType;
use change::Change;
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub struct SetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Images of containers: `deploy/web main=nginx:2`, `*` for all.
    Image {
        #[command(flatten)]
        common: Common,
    },
    /// Variables of containers: `deploy/web KEY=value OTHER-`.
    Env {
        #[command(flatten)]
        common: Common,
        /// Containers; `*`: any letters.
        #[arg(short, long, value_name = "NAME", default_value = "*")]
        containers: String,
        /// KEY=value; may be repeated.
        #[arg(short, long, value_name = "KEY=VALUE")]
        env: Vec<String>,
        /// Whether a variable that is there already may change.
        #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
        overwrite: bool,
        /// Print the variables; change nothing.
        #[arg(long, conflicts_with = "output")]
        list: bool,
    },
    /// Requests and limits of containers.
    Resources {
        #[command(flatten)]
        common: Common,
        /// Containers; `*`: any letters.
        #[arg(short, long, value_name = "NAME", default_value = "*")]
        containers: String,
        /// For example cpu=1,memory=1Gi.
        #[arg(long, value_name = "NAME=QUANTITY", default_value = "")]
        limits: String,
        /// For example cpu=100m,memory=64Mi.
        #[arg(long, value_name = "NAME=QUANTITY", default_value = "")]
        requests: String,
    },
    /// The service account: `deploy/web NAME`.
    #[command(alias = "sa")]
    Serviceaccount {
        #[command(flatten)]
        common: Common,
    },
    /// A service's selector: `svc/web app=web`.
    Selector {
        #[command(flatten)]
        common: Common,
        /// Only where the object has this resource version.
        #[arg(long, value_name = "VERSION")]
        resource_version: Option<String>,
    },
    /// Who is bound by a role binding.
    Subject {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        subjects: SubjectArgs,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// `deployment web` or `deploy/web`, then what to set.
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// Every object of the kind in the namespace.
    #[arg(long, conflicts_with = "selector")]
    all: bool,
    /// Objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Change the files' objects and print them; ask no server.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    write: WriteArgs,
}

impl What {
    fn common(&self) -> &Common {
        match self {
            What::Image { common }
            | What::Env { common, .. }
            | What::Resources { common, .. }
            | What::Serviceaccount { common }
            | What::Selector { common, .. }
            | What::Subject { common, .. } => common,
        }
    }

    /// The words that name objects, and what shall change.
    fn read(&self) -> Result<(Vec<String>, Change), anyhow::Error> {
        let words = &self.common().words;
        let split = |is_change: &dyn Fn(&str) -> bool| {
            let at = words
                .iter()
                .position(|word| is_change(word))
                .unwrap_or(words.len());
            let (resources, rest) = words.split_at(at);
            (resources.to_vec(), rest.to_vec())
        };
        let pair = |word: &str| word.contains('=');
        Ok(match self {
            What::Image { .. } => {
                let (resources, pairs) = split(&pair);
                (resources, change::images(&pairs)?)
            }
            What::Env {
                containers,
                env,
                overwrite,
                ..
            } => {
                let (resources, mut pairs) = split(&|word| {
                    word.contains('=') || (word.ends_with('-') && !word.contains('/'))
                });
                pairs.extend(env.iter().cloned());
                (
                    resources,
                    change::environment(containers, &pairs, *overwrite)?,
                )
            }
            What::Resources {
                containers,
                limits,
                requests,
                ..
            } => (
                words.clone(),
                change::resources(containers, limits, requests)?,
            ),
            What::Serviceaccount { .. } => {
                let (last, resources) = words
                    .split_last()
                    .ok_or_else(|| anyhow::anyhow!("serviceaccount is required"))?;
                (resources.to_vec(), Change::ServiceAccount(last.clone()))
            }
            What::Selector { .. } => {
                let (resources, pairs) = split(&pair);
                (resources, change::selector(&pairs)?)
            }
            What::Subject { subjects, .. } => {
                let subjects = subjects.subjects()?;
                anyhow::ensure!(
                    !subjects.is_empty(),
                    "you must specify at least one value of user, group or serviceaccount"
                );
                (words.clone(), Change::Subjects(subjects))
            }
        })
    }

    fn done(&self) -> &'static str {
        match self {
            What::Image { .. } => "image updated",
            What::Env { .. } => "env updated",
            What::Resources { .. } => "resource requirements updated",
            What::Serviceaccount { .. } => "serviceaccount updated",
            What::Selector { .. } => "selector updated",
            What::Subject { .. } => "subjects updated",
        }
    }
}

/// An object, and where it stands on the server.
type Place = (Resource, Option<String>, Value);

async fn find(
    common: &Common,
    resources: &[String],
    client: &ClientArgs,
) -> Result<(Vec<Place>, bool), anyhow::Error> {
    if common.local {
        anyhow::ensure!(
            resources.is_empty() && !common.files.filename.is_empty(),
            "with --local, only files (-f) can be changed"
        );
        anyhow::ensure!(
            common.write.dry_run != DryRun::Server,
            "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
        );
        let places = common.files.read()?.into_iter().map(|document| {
            let (group, version) = document
                .api_version()
                .split_once('/')
                .unwrap_or(("", document.api_version()));
            let resource = Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: document.kind().to_owned(),
                ..Resource::default()
            };
            (resource, None, document.object)
        });
        return Ok((places.collect(), false));
    }
    anyhow::ensure!(
        !resources.is_empty() || !common.files.filename.is_empty(),
        "one or more resources must be specified as <resource> <name> or <resource>/<name>"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let wanted = Wanted {
        resources,
        files: &common.files,
        selector: common.selector.as_deref(),
        all: common.all,
    };
    let selection = wanted.find(&session, &discovery).await?;
    let places = selection.chosen.into_iter().map(|chosen| {
        let path = chosen.path();
        (chosen.resource, Some(path), chosen.object)
    });
    Ok((places.collect(), selection.failed))
}

pub async fn run(args: SetArgs, client: ClientArgs) -> Outcome {
    let what = &args.what;
    let common = what.common();
    let (resources, change) = what.read()?;
    let (places, mut failed) = find(common, &resources, &client).await?;
    let speaker = Speaker::new(&common.write);
    for (resource, path, object) in places {
        let one = async {
            if let What::Env { list: true, .. } = what {
                print!("{}", change::listed(&object));
                return Ok(());
            }
            if let What::Selector {
                resource_version: Some(wanted),
                ..
            } = what
            {
                let now = object["metadata"]["resourceVersion"].as_str();
                anyhow::ensure!(
                    now == Some(wanted),
                    "the object has resource version {}, not {wanted}",
                    now.unwrap_or_default()
                );
            }
            let mut after = object.clone();
            change.apply(&mut after)?;
            if after == object && !common.local {
                return Ok(());
            }
            match path.filter(|_| !common.write.is_client()) {
                Some(path) => {
                    let session = client.connect()?;
                    let patch = change::patch(&object, &after);
                    after = common
                        .write
                        .patch(&session, &path, PatchType::Json, &patch)
                        .await?;
                    speaker.say(&resource, &after, what.done())
                }
                None => speaker.say(&resource, &after, what.done()),
            }
        };
        if let Err(cause) = one.await {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}
