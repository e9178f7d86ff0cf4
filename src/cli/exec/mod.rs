//! `coracle exec`: a command in a container, its streams over a WebSocket, its exit code as ours.
//! <https://kubernetes.io/blog/2024/08/20/websockets-transition/>

mod channel;
mod socket;

use super::Outcome;
use super::connect::ClientArgs;
use super::logs::{default_container, fetch_pod, pod_name};
use super::terminal::{self, RawMode};
use crate::client::object_path;
use anyhow::Context;
use channel::{Finish, Message};
use futures::{SinkExt, StreamExt};
use socket::Socket;
use std::io::IsTerminal;
use std::process::ExitCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite;

#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD")]
    pod: String,
    /// The container; default: the pod's default container.
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Bytes of standard input sent in one message.
const INPUT_BYTES: usize = 16 << 10;
/// Messages waiting to be sent: enough to keep a link busy, few enough to feel the other side's pace.
const QUEUE_MESSAGES: usize = 16;

pub async fn run(args: ExecArgs, client: ClientArgs) -> Outcome {
    let name = pod_name(&args.pod)?;
    let session = client.connect()?;
    let container = match &args.container {
        Some(container) => container.clone(),
        None => default_container(&fetch_pod(&session.client, &session.namespace, &name).await?)?,
    };
    let tty = args.tty && {
        let terminal = !args.stdin || std::io::stdin().is_terminal();
        if !terminal {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        terminal
    };
    let namespace = Some(session.namespace.as_str());
    let path = object_path("", "v1", "pods", namespace, Some(&name), Some("exec"));
    let query = query(&args, &container, tty);
    let socket = socket::open(&session.client, &path, &query).await?;
    let raw = if tty && args.stdin {
        RawMode::enter()
    } else {
        None
    };
    let finish = run_streams(socket, args.stdin, tty).await;
    drop(raw);
    match finish? {
        Finish::Success => Ok(ExitCode::SUCCESS),
        Finish::Exit(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
        }
        Finish::Failure(message) => anyhow::bail!("Internal error occurred: {message}"),
    }
}

fn query(args: &ExecArgs, container: &str, tty: bool) -> Vec<(&'static str, String)> {
    let mut query: Vec<_> = args
        .command
        .iter()
        .map(|argument| ("command", argument.clone()))
        .collect();
    query.push(("container", container.to_owned()));
    let yes = || "true".to_owned();
    if args.stdin {
        query.push(("stdin", yes()));
    }
    query.push(("stdout", yes()));
    if tty {
        query.push(("tty", yes()));
    } else {
        query.push(("stderr", yes()));
    }
    query
}

/// Carries the streams until the command ends.
async fn run_streams(socket: Socket, stdin: bool, tty: bool) -> Result<Finish, anyhow::Error> {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<tungstenite::Message>(QUEUE_MESSAGES);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    });
    if stdin {
        tasks.spawn(send_input(sender.clone()));
    }
    if tty {
        let window = signal(SignalKind::window_change())?;
        tasks.spawn(send_sizes(sender.clone(), window));
    }
    let mut stdout = tokio::io::stdout();
    let mut stderr = tokio::io::stderr();
    while let Some(message) = source.next().await {
        let message = message.context("the connection to the container broke off")?;
        match channel::read(message) {
            Message::Stdout(bytes) => {
                stdout.write_all(&bytes).await?;
                stdout.flush().await?;
            }
            Message::Stderr(bytes) => {
                stderr.write_all(&bytes).await?;
                stderr.flush().await?;
            }
            // The tasks end with the set.
            Message::Finished(finish) => return Ok(finish),
            Message::Nothing => {}
        }
    }
    anyhow::bail!("the connection to the container ended before the command's exit code came")
}

async fn send_input(sender: mpsc::Sender<tungstenite::Message>) {
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; INPUT_BYTES];
    loop {
        let message = match input.read(&mut buffer).await {
            Ok(count) if count > 0 => channel::stdin(&buffer[..count]),
            _ => channel::close_stdin(),
        };
        let last = message == channel::close_stdin();
        if sender.send(message).await.is_err() || last {
            return;
        }
    }
}

async fn send_sizes(
    sender: mpsc::Sender<tungstenite::Message>,
    mut window: tokio::signal::unix::Signal,
) {
    loop {
        if let Some((columns, rows)) = terminal::size()
            && sender.send(channel::resize(columns, rows)).await.is_err()
        {
            return;
        }
        if window.recv().await.is_none() {
            return;
        }
    }
}
