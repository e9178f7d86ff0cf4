//! The pod and container that a verb means, and the flags that say so.

use crate::cli::connect::Session;
use crate::cli::logs::{default_container, fetch_pod, pod_name};
use crate::client::object_path;
use anyhow::Context;
use std::io::IsTerminal;
use std::time::Duration;

/// Flags of exec and attach.
#[derive(Debug, clap::Args)]
pub struct StreamArgs {
    /// The container; default: the pod's default container.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Standard input is a terminal.
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Print only what the container prints.
    #[arg(short, long)]
    pub quiet: bool,
    /// How long to wait until the pod runs, for example 5s, 2m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = crate::object::duration::parse_seconds, default_value = "1m")]
    pub pod_running_timeout: u64,
}

impl StreamArgs {
    /// Whether to ask for a terminal; says so where standard input is none.
    pub fn terminal(&self) -> bool {
        let possible = !self.stdin || std::io::stdin().is_terminal();
        if self.tty && !possible {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        self.tty && possible
    }
}

pub struct Target {
    pub name: String,
    pub pod: serde_json::Value,
    path: String,
}

/// Between looks at a pod that does not run yet.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

impl Target {
    /// Fetches the pod, once it runs.
    pub async fn find(
        session: &Session,
        typed: &str,
        seconds: u64,
    ) -> Result<Target, anyhow::Error> {
        let name = pod_name(typed)?;
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
        loop {
            let pod = fetch_pod(&session.client, &session.namespace, &name).await?;
            match pod["status"]["phase"].as_str() {
                Some(phase @ ("Succeeded" | "Failed")) => anyhow::bail!(
                    "cannot use a container of a completed pod; current phase is {phase}"
                ),
                Some("Pending") | None => {}
                Some(_) => {
                    let namespace = Some(session.namespace.as_str());
                    let path = object_path("", "v1", "pods", namespace, Some(&name), None);
                    return Ok(Target { name, pod, path });
                }
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < until,
                "timed out waiting for pod {name:?} to run; `coracle describe pod {name}` tells why it does not"
            );
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// The path of a part of the pod: `exec`, `attach`, `portforward`.
    pub fn path(&self, part: &str) -> String {
        format!("{}/{part}", self.path)
    }

    /// The container that is named, or the default one.
    pub fn container(&self, named: Option<&str>, quiet: bool) -> Result<String, anyhow::Error> {
        match named {
            Some(name) => Ok(name.to_owned()),
            None => default_container(&self.pod, quiet),
        }
    }

    /// What the pod's spec says of a container.
    pub fn spec_of(&self, container: &str) -> Result<&serde_json::Value, anyhow::Error> {
        ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .flat_map(|list| self.pod["spec"][list].as_array().into_iter().flatten())
            .find(|spec| spec["name"] == container)
            .with_context(|| format!("container {container} not found in pod {}", self.name))
    }
}
