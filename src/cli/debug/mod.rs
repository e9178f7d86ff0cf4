//! `coracle debug`: a container to look around with: in a running pod, in a copy of it, or on a node.
//! <https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/>
//!
//! In: a pod or node, an image and a command. Out: an ephemeral container, or a new pod; its streams if wanted.
//!
//! `objects` builds what is sent and is pure; this file sends it, waits and attaches. It never enters a node by itself.

mod objects;
pub mod wait;

use super::Outcome;
use super::connect::{ClientArgs, Session};
use super::logs::{fetch_pod, pod_name};
use super::remote::{Target, exit, open, with_terminal};
use crate::client::{PatchType, object_path};
use crate::object::access::{list, text};
use crate::streaming::channel::V5;
use clap::ValueEnum;
use http::Method;
use objects::Container;
use serde_json::Value;
use std::io::IsTerminal;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "coracle debug (POD | node/NODE) --image IMAGE [OPTIONS] [-- COMMAND...]"
)]
pub struct DebugArgs {
    /// The pod (`web`, `pod/web`) or node (`node/boat`).
    #[arg(value_name = "TARGET")]
    target: String,
    /// The image of the new container; with --copy-to: default the container's own.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// See this container's processes.
    #[arg(long = "target", value_name = "CONTAINER", conflicts_with = "copy_to")]
    target_container: Option<String>,
    /// Name of the new container; with --copy-to: of the one that is changed or added.
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the container a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// Attach to the container; default: with -i.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    attach: Option<bool>,
    /// Environment of the new container.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Always, IfNotPresent or Never.
    #[arg(long, value_name = "POLICY")]
    image_pull_policy: Option<PullPolicy>,
    /// Make a copy of the pod under this name and change that.
    #[arg(long, value_name = "NAME")]
    copy_to: Option<String>,
    /// With --copy-to: other images, for example `app=busybox,*=debian`.
    #[arg(long, value_name = "NAME=IMAGE", value_delimiter = ',', value_parser = variable, requires = "copy_to")]
    set_image: Vec<(String, String)>,
    /// With --copy-to: delete the original pod.
    #[arg(long, requires = "copy_to")]
    replace: bool,
    /// With --copy-to: put the copy on the same node.
    #[arg(long, requires = "copy_to")]
    same_node: bool,
    /// With --copy-to: one process namespace for all containers of the copy.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, requires = "copy_to", value_name = "BOOL")]
    share_processes: Option<bool>,
    /// What the container may do.
    #[arg(long, value_name = "PROFILE", default_value = "general")]
    profile: Profile,
    /// Print only what the container prints.
    #[arg(short, long)]
    quiet: bool,
    /// The command and its arguments; default: the image's.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Trace processes; on a node: its namespaces.
    General,
    /// Nothing special.
    Baseline,
    /// As little as may be: no root, no capabilities.
    Restricted,
    /// Network administration.
    Netadmin,
    /// Everything.
    Sysadmin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    #[value(name = "Always")]
    Always,
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    #[value(name = "Never")]
    Never,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no NAME=VALUE")),
    }
}

/// Random characters that make names of several sessions differ.
const SUFFIX_CHARS: usize = 5;

fn suffix() -> String {
    use rand::Rng;
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..SUFFIX_CHARS)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}

pub async fn run(args: DebugArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let node = ["node/", "nodes/", "no/"]
        .iter()
        .find_map(|prefix| args.target.strip_prefix(prefix));
    let (pod, container) = if let Some(node) = node {
        anyhow::ensure!(
            args.copy_to.is_none(),
            "--copy-to copies pods, and {} is a node",
            args.target
        );
        anyhow::ensure!(
            args.target_container.is_none(),
            "--target names a container of a pod, and {} is a node",
            args.target
        );
        on_node(&args, &session, node).await?
    } else {
        let name = pod_name(&args.target)?;
        match &args.copy_to {
            Some(copy) => in_copy(&args, &session, &name, copy).await?,
            None => in_pod(&args, &session, &name).await?,
        }
    };
    if args.attach.unwrap_or(args.stdin) {
        return attach(&args, &session, &pod, &container).await;
    }
    if !args.quiet {
        eprintln!(
            "Created; reach it with: coracle -n {} attach {pod} -c {container}",
            session.namespace
        );
    }
    Ok(ExitCode::SUCCESS)
}

impl DebugArgs {
    fn image(&self) -> Result<&str, anyhow::Error> {
        self.image
            .as_deref()
            .filter(|image| !image.is_empty())
            .ok_or_else(|| {
                anyhow::anyhow!(
                    "--image is needed: the image to look around with, for example --image busybox"
                )
            })
    }

    fn described<'a>(&'a self, name: &'a str, image: Option<&'a str>) -> Container<'a> {
        Container {
            name,
            image,
            command: &self.command,
            env: &self.env,
            pull_policy: self.image_pull_policy,
            stdin: self.stdin,
            tty: self.tty,
            profile: self.profile,
        }
    }

    fn named(&self) -> String {
        self.container
            .clone()
            .unwrap_or_else(|| format!("debugger-{}", suffix()))
    }

    fn say_default(&self, container: &str) {
        if self.container.is_none() && !self.quiet {
            eprintln!("Defaulting debug container name to {container}.");
        }
    }
}

async fn in_pod(
    args: &DebugArgs,
    session: &Session,
    name: &str,
) -> Result<(String, String), anyhow::Error> {
    let image = args.image()?;
    anyhow::ensure!(
        args.command.is_empty() || args.set_image.is_empty(),
        "--set-image needs --copy-to"
    );
    let pod = fetch_pod(&session.client, &session.namespace, name).await?;
    if let Some(target) = &args.target_container {
        anyhow::ensure!(
            list(&pod, "/spec/containers")
                .iter()
                .any(|container| text(container, "/name") == target),
            "pod {name} has no container {target:?} to look at (--target)"
        );
        if !args.quiet {
            eprintln!(
                "Targeting container {target:?}. If you don't see processes from this container it may be because the container runtime doesn't support this feature."
            );
        }
    }
    let container = args.named();
    args.say_default(&container);
    let described = args.described(&container, Some(image));
    let patch = objects::ephemeral_patch(&described, args.target_container.as_deref());
    let namespace = Some(session.namespace.as_str());
    let path = object_path(
        "",
        "v1",
        "pods",
        namespace,
        Some(name),
        Some("ephemeralcontainers"),
    );
    let content = Some((PatchType::StrategicMerge.content_type(), &patch));
    session
        .client
        .send_value(Method::PATCH, &path, content)
        .await?;
    Ok((name.to_owned(), container))
}

async fn in_copy(
    args: &DebugArgs,
    session: &Session,
    name: &str,
    copy: &str,
) -> Result<(String, String), anyhow::Error> {
    anyhow::ensure!(
        args.image.is_some() || !args.set_image.is_empty() || args.container.is_some(),
        "--copy-to needs --image, --set-image or --container: what is to be other in the copy"
    );
    let pod = fetch_pod(&session.client, &session.namespace, name).await?;
    let container = match (&args.container, args.image.is_some()) {
        (Some(container), _) => container.clone(),
        (None, true) => {
            let container = args.named();
            args.say_default(&container);
            container
        }
        (None, false) => text(&pod, "/spec/containers/0/name").to_owned(),
    };
    let change = args.image.is_some() || !args.command.is_empty() || args.stdin || args.tty;
    let described = args.described(&container, args.image.as_deref());
    let plan = objects::Copy {
        name: copy,
        set_image: &args.set_image,
        same_node: args.same_node,
        share_processes: args.share_processes.unwrap_or(true),
        container: change.then_some(&described),
    };
    let object = objects::copy(&pod, &plan)?;
    if args.replace {
        let path = object_path("", "v1", "pods", Some(&session.namespace), Some(name), None);
        session
            .client
            .send_value(Method::DELETE, &path, None)
            .await?;
    }
    create(session, &object).await?;
    Ok((copy.to_owned(), container))
}

async fn on_node(
    args: &DebugArgs,
    session: &Session,
    node: &str,
) -> Result<(String, String), anyhow::Error> {
    let image = args.image()?;
    let path = object_path("", "v1", "nodes", None, Some(node), None);
    session.client.send_value(Method::GET, &path, None).await?;
    // A name is one label long at most, and what tells sessions apart stands at its end.
    let short: String = node.chars().take(40).collect();
    let name = format!(
        "node-debugger-{}-{}",
        short.trim_end_matches(['-', '.']),
        suffix()
    );
    let container = args
        .container
        .clone()
        .unwrap_or_else(|| "debugger".to_owned());
    if !args.quiet {
        eprintln!("Creating debugging pod {name} with container {container} on node {node}.");
    }
    let object = objects::node_pod(&name, node, &args.described(&container, Some(image)));
    create(session, &object).await?;
    Ok((name, container))
}

async fn create(session: &Session, object: &Value) -> Result<(), anyhow::Error> {
    let path = object_path("", "v1", "pods", Some(&session.namespace), None, None);
    session
        .client
        .send_value(Method::POST, &path, Some(("application/json", object)))
        .await?;
    Ok(())
}

async fn attach(args: &DebugArgs, session: &Session, pod: &str, container: &str) -> Outcome {
    if !args.stdin && !args.tty {
        // Only its output is wanted, and a short command may be through before anybody attaches: the log has all of it.
        wait::until_started(session, pod, container).await?;
        wait::print_log(session, pod, container).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let target = match wait::until_started(session, pod, container).await? {
        wait::State::Ended(code) => return ended(args, session, pod, container, code).await,
        wait::State::Running => Target::find(session, pod, wait::PATIENCE_SECONDS).await?,
    };
    let tty = args.tty && args.stdin && std::io::stdin().is_terminal();
    if tty && !args.quiet {
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    let yes = || "true".to_owned();
    let mut query = vec![("container", container.to_owned()), ("stdout", yes())];
    if args.stdin {
        query.push(("stdin", yes()));
    }
    query.push((if args.tty { "tty" } else { "stderr" }, yes()));
    let socket = match open(&session.client, &target.path("attach"), &query, V5).await {
        Ok(socket) => socket,
        // It may have ended since we looked, before the API has heard of it.
        Err(error) => match wait::until_ended(session, pod, container).await {
            Some(code) => return ended(args, session, pod, container, code).await,
            None => return Err(error),
        },
    };
    exit(with_terminal(socket, args.stdin, tty).await?)
}

/// It was quicker than we: what it printed is in its log. As with any attach, its exit code is not ours.
async fn ended(
    args: &DebugArgs,
    session: &Session,
    pod: &str,
    container: &str,
    code: i64,
) -> Outcome {
    if !args.quiet {
        eprintln!(
            "Container {container} has ended already, with exit code {code}; this is its log:"
        );
    }
    wait::print_log(session, pod, container).await?;
    Ok(ExitCode::SUCCESS)
}
