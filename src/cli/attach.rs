//! `coracle attach`: the streams of a running container, as it has them.

use super::Outcome;
use super::connect::{ClientArgs, Session};
use super::remote::{StreamArgs, Target, exit, open, with_terminal};
use crate::streaming::channel::V5;

#[derive(Debug, clap::Args)]
pub struct AttachArgs {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    streams: StreamArgs,
}

pub async fn run(args: AttachArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    attach(&session, &args.pod, &args.streams).await
}

/// Attaches to a pod once it runs, and stays until the container or the user ends it.
pub async fn attach(session: &Session, pod: &str, streams: &StreamArgs) -> Outcome {
    let target = Target::find(session, pod, streams.pod_running_timeout).await?;
    let container = target.container(streams.container.as_deref(), streams.quiet)?;
    let spec = target.spec_of(&container)?;
    let container_tty = spec["tty"] == true;
    let tty = streams.terminal() && {
        if !container_tty && !streams.quiet {
            eprintln!("error: Unable to use a TTY - container {container} did not allocate one");
        }
        container_tty
    };
    if tty && !streams.quiet {
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    let yes = || "true".to_owned();
    let mut query = vec![("container", container), ("stdout", yes())];
    if streams.stdin {
        query.push(("stdin", yes()));
    }
    query.push((if container_tty { "tty" } else { "stderr" }, yes()));
    let socket = open(&session.client, &target.path("attach"), &query, V5).await?;
    exit(with_terminal(socket, streams.stdin, tty).await?)
}
