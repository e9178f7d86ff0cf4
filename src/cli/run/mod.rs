//! `coracle run`: one pod of one image, in the foreground with -i or --attach.
//!
//! In: flags. Out: a Pod, with --expose a Service; with --attach the container's streams and its exit code.
//!
//! The objects are made by `objects`, which is pure; attaching is `attach`'s and `debug`'s.

mod follow;
mod objects;

use super::Outcome;
use super::apply;
use super::connect::ClientArgs;
use super::write_args::{
    DryRun, Speaker, Validate, WriteArgs, overridden, parse_labels, resource_of,
};
use crate::object::access::text;
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The pod's and container's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The image to run.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// KEY=value; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// The port that the container listens on.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Make a service for the port too.
    #[arg(long, requires = "port")]
    expose: bool,
    /// Labels, for example app=web,tier=front; default: run=NAME.
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "")]
    labels: String,
    /// key=value; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Always, `OnFailure` or Never.
    #[arg(long, value_name = "POLICY", default_value = "Always")]
    restart: Restart,
    /// Always, `IfNotPresent` or Never; default: the server's choice.
    #[arg(long, value_name = "POLICY")]
    image_pull_policy: Option<Pull>,
    /// Keep standard input open, and attach.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the container a terminal.
    #[arg(short = 't', long, requires = "stdin")]
    tty: bool,
    /// Attach once it runs; default: with -i.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    attach: Option<bool>,
    /// Keep standard input open after the first session too.
    #[arg(long)]
    leave_stdin_open: bool,
    /// Delete the pod afterwards.
    #[arg(long)]
    rm: bool,
    /// The words after `--` are the command, not its arguments.
    #[arg(long)]
    command: bool,
    /// Run with all the node's rights.
    #[arg(long)]
    privileged: bool,
    /// JSON over the pod, for example '{"spec": {"nodeName": "boat"}}'.
    #[arg(long, value_name = "JSON")]
    overrides: Option<String>,
    /// Print only what the container prints.
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait until the pod runs, for example 5s, 2m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = crate::object::duration::parse_seconds, default_value = "1m")]
    pod_running_timeout: u64,
    /// Remember the object in its annotations, for a later `apply`.
    #[arg(long)]
    save_config: bool,
    #[command(flatten)]
    write: WriteArgs,
    /// What the container runs: arguments, or with --command the whole of it.
    #[arg(value_name = "ARGUMENT")]
    arguments: Vec<String>,
    #[arg(last = true, value_name = "ARGUMENT")]
    more_arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Restart {
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Pull {
    Always,
    IfNotPresent,
    Never,
}

impl RunArgs {
    fn attaches(&self) -> bool {
        self.attach.unwrap_or(self.stdin)
    }

    fn check(&self) -> Result<(), anyhow::Error> {
        anyhow::ensure!(!self.image.is_empty(), "--image is required");
        anyhow::ensure!(
            !self.image.contains(char::is_whitespace) && !self.image.starts_with(['/', ':', '@']),
            "invalid image name {:?}: invalid reference format",
            self.image
        );
        anyhow::ensure!(
            self.attaches() || !self.rm,
            "--rm should only be used for attached containers"
        );
        anyhow::ensure!(
            !self.attaches() || self.write.dry_run == DryRun::None,
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"
        );
        Ok(())
    }

    /// The Pod, and the Service with --expose.
    fn objects(&self) -> Result<Vec<Value>, anyhow::Error> {
        let own = if self.labels.is_empty() {
            None
        } else {
            Some(parse_labels(&self.labels)?)
        };
        let labels = own.clone().unwrap_or_else(|| json!({"run": self.name}));
        let mut annotations = Map::new();
        for pair in &self.annotations {
            match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    annotations.insert(key.to_owned(), json!(value));
                }
                _ => anyhow::bail!("invalid annotations format: {pair}"),
            }
        }
        let env = self
            .env
            .iter()
            .map(|pair| objects::env(pair))
            .collect::<Result<Vec<_>, _>>()?;
        let words: Vec<&String> = self.arguments.iter().chain(&self.more_arguments).collect();
        let plan = objects::Plan {
            name: &self.name,
            image: &self.image,
            labels: &labels,
            annotations,
            env,
            port: self.port,
            words: &words,
            words_are_command: self.command,
            restart: format!("{:?}", self.restart),
            pull: self.image_pull_policy.map(|pull| format!("{pull:?}")),
            stdin: self.stdin,
            stdin_once: self.stdin && !self.leave_stdin_open,
            tty: self.tty,
            privileged: self.privileged,
        };
        let mut pod = objects::pod(plan);
        if let Some(patch) = &self.overrides {
            pod = overridden(pod, patch)?;
        }
        let mut made = vec![pod];
        if let (true, Some(port)) = (self.expose, self.port) {
            made.push(objects::service(&self.name, own.as_ref(), &labels, port));
        }
        Ok(made)
    }
}

pub async fn run(args: RunArgs, client: ClientArgs) -> Outcome {
    args.check()?;
    let mut objects = args.objects()?;
    let mut resources = Vec::new();
    for object in &mut objects {
        let resource = resource_of(object)?;
        if let Some(namespace) = client.namespace.as_ref().filter(|_| resource.namespaced) {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if args.save_config {
            *object = apply::with_last_applied(object)?;
        }
        resources.push(resource);
    }
    let speaker = Speaker::new(&args.write);
    if args.write.is_client() {
        // kubectl names the Service first.
        for (resource, object) in resources.iter().zip(&objects).rev() {
            speaker.say(resource, object, "created")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let session = client.connect()?;
    for (resource, object) in resources.iter().zip(&mut objects) {
        *object = args
            .write
            .create(&session, resource, object, Validate::Ignore)
            .await?;
    }
    if !args.attaches() {
        // kubectl names the Service first.
        for (resource, object) in resources.iter().zip(&objects).rev() {
            speaker.say(resource, object, "created")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let pod = &objects[0];
    let container = text(pod, "/spec/containers/0/name").to_owned();
    let outcome = follow::follow(&args, &session, text(pod, "/metadata/name"), &container).await;
    if args.rm {
        for (resource, object) in resources.iter().zip(&objects) {
            follow::remove(&session, resource, object, args.quiet).await?;
        }
    }
    outcome
}
