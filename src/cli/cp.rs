//! `coracle cp`: files and directories to and from a container, through `tar` in it.

mod archive;
mod place;

use super::Outcome;
use super::connect::{ClientArgs, Session};
use super::exec::query;
use super::remote::{Finish, Target, carry, open};
use crate::streaming::channel::V5;
use place::Place;
use std::path::Path;
use std::process::ExitCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::SyncIoBridge;

#[derive(Debug, clap::Args)]
pub struct CpArgs {
    /// A local path, or `[NAMESPACE/]POD:PATH`.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// A local path, or `[NAMESPACE/]POD:PATH`.
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// The container; default: the pod's default container.
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Do not keep owner and permissions in the container.
    #[arg(long)]
    no_preserve: bool,
    /// Attempts after a failed copy from a container; negative: without end.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    retries: i64,
}

/// Bytes on their way between the connection and the archive.
const PIPE_BYTES: usize = 32 * 1024;
/// Waits for a pod that does not run yet; kubectl waits not at all.
const RUNNING_SECONDS: u64 = 10;

pub async fn run(args: CpArgs, client: ClientArgs) -> Outcome {
    let places = (
        Place::parse(&args.source)?,
        Place::parse(&args.destination)?,
    );
    match places {
        (Place::Local(source), Place::Remote(remote)) => {
            anyhow::ensure!(
                source.symlink_metadata().is_ok(),
                "{} doesn't exist in local filesystem",
                source.display()
            );
            let container = Container::find(&args, &remote, client).await?;
            container
                .upload(&source, &remote.path, args.no_preserve)
                .await?;
        }
        (Place::Remote(remote), Place::Local(destination)) => {
            let container = Container::find(&args, &remote, client).await?;
            let mut attempts = 0;
            while let Err(error) = container.download(&remote.path, &destination).await {
                if args.retries >= 0 && attempts >= args.retries {
                    return Err(error);
                }
                attempts += 1;
                eprintln!("copying again, attempt {attempts}: {error:#}");
            }
        }
        _ => anyhow::bail!(
            "one of source and destination must be local and the other in a pod: [NAMESPACE/]POD:PATH"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

struct Container {
    session: Session,
    target: Target,
    name: String,
}

impl Container {
    async fn find(
        args: &CpArgs,
        remote: &place::Remote,
        client: ClientArgs,
    ) -> Result<Container, anyhow::Error> {
        let mut session = client.connect()?;
        if let Some(namespace) = &remote.namespace {
            session.namespace.clone_from(namespace);
        }
        let target = Target::find(&session, &remote.pod, RUNNING_SECONDS).await?;
        let name = target.container(args.container.as_deref(), false)?;
        Ok(Container {
            session,
            target,
            name,
        })
    }

    /// Runs `command` with these streams.
    async fn exec(
        &self,
        command: &[&str],
        input: Option<impl AsyncRead + Send + Unpin>,
        output: impl AsyncWrite + Unpin,
        errors: impl AsyncWrite + Unpin,
    ) -> Result<Finish, anyhow::Error> {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let query = query(&command, &self.name, input.is_some(), false);
        let path = self.target.path("exec");
        let socket = open(&self.session.client, &path, &query, V5).await?;
        carry(socket, input, false, output, errors).await
    }

    async fn upload(
        &self,
        source: &Path,
        destination: &str,
        no_preserve: bool,
    ) -> Result<(), anyhow::Error> {
        let nothing = None::<tokio::io::Empty>;
        let check = ["test", "-d", destination];
        let is_directory = self
            .exec(&check, nothing, tokio::io::sink(), tokio::io::sink())
            .await?
            == Finish::Success;
        let (directory, name) = place::inside(source, destination, is_directory)?;
        let mut command = vec!["tar"];
        if no_preserve {
            command.extend(["--no-same-permissions", "--no-same-owner"]);
        }
        command.extend(["-xmf", "-", "-C", &directory]);
        let (reading, writing) = tokio::io::duplex(PIPE_BYTES);
        let (source, bridge) = (source.to_owned(), SyncIoBridge::new(writing));
        let packing = tokio::task::spawn_blocking(move || archive::pack(&source, &name, bridge));
        let finish = self
            .exec(
                &command,
                Some(reading),
                tokio::io::stdout(),
                tokio::io::stderr(),
            )
            .await?;
        // The reading end is gone with the session: packing has ended or ends now.
        let packed = packing.await?;
        succeeded(finish)?;
        packed.map_err(Into::into)
    }

    async fn download(&self, source: &str, destination: &Path) -> Result<(), anyhow::Error> {
        let (reading, writing) = tokio::io::duplex(PIPE_BYTES);
        let (source_path, destination) = (source.to_owned(), destination.to_owned());
        let bridge = SyncIoBridge::new(reading);
        let unpacking = tokio::task::spawn_blocking(move || {
            archive::unpack(bridge, &source_path, &destination)
        });
        let nothing = None::<tokio::io::Empty>;
        let command = ["tar", "cf", "-", source];
        // The writing end goes with the session: the archive then ends.
        let finish = self
            .exec(&command, nothing, writing, tokio::io::stderr())
            .await;
        let unpacked = unpacking.await?;
        // Where unpacking failed the connection was cut by us: its reason is the one that counts.
        unpacked?;
        succeeded(finish?)
    }
}

fn succeeded(finish: Finish) -> Result<(), anyhow::Error> {
    match finish {
        Finish::Success => Ok(()),
        Finish::Exit(code) => anyhow::bail!("command terminated with exit code {code}"),
        Finish::Failure(message) => anyhow::bail!("{message}"),
    }
}
