//! `coracle exec`: a command in a container, its streams as ours, its exit code as ours.

use super::Outcome;
use super::connect::ClientArgs;
use super::remote::{StreamArgs, Target, exit, open, with_terminal};
use crate::streaming::channel::V5;

#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    streams: StreamArgs,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub async fn run(args: ExecArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let streams = &args.streams;
    let target = Target::find(&session, &args.pod, streams.pod_running_timeout).await?;
    let container = target.container(streams.container.as_deref(), streams.quiet)?;
    let tty = streams.terminal();
    let query = query(&args.command, &container, streams.stdin, tty);
    let socket = open(&session.client, &target.path("exec"), &query, V5).await?;
    exit(with_terminal(socket, streams.stdin, tty).await?)
}

/// The query of an exec that wants both outputs, or a terminal's one.
pub fn query(
    command: &[String],
    container: &str,
    stdin: bool,
    tty: bool,
) -> Vec<(&'static str, String)> {
    let mut query: Vec<_> = command
        .iter()
        .map(|argument| ("command", argument.clone()))
        .collect();
    query.push(("container", container.to_owned()));
    let yes = || "true".to_owned();
    if stdin {
        query.push(("stdin", yes()));
    }
    query.push(("stdout", yes()));
    query.push((if tty { "tty" } else { "stderr" }, yes()));
    query
}
