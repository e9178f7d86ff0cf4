//! `coracle demo`: a throw-away node at work, beside whatever else this host runs.
//!
//! Everything it makes has names of its own: directories, bridge, pod network, cgroup, port. All of it is removed
//! at the end, also after an error. With `--once`, or where standard output is no terminal, it does not wait for
//! Ctrl-C, so that a script can run it.

mod objects;
mod page;
mod progress;

use super::connect::Session;
use super::up::{StopSignals, log_to_stderr, runtime};
use super::{Outcome, apply, discovery, host, node_args, pressure_args, reset};
use crate::client::https::HttpsDoor;
use crate::client::kubeconfig::{self, Sources};
use crate::client::{Client, DeleteParams};
use crate::network::{NetworkConfig, PodCidr};
use crate::node::record::HostRecord;
use crate::node::{Node, NodeConfig};
use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Clean up and end as soon as everything was shown.
    #[arg(long)]
    once: bool,
    /// Firmware profile; default: the one for this board.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

/// Longest wait until all pods are where they belong: a slow board with a slow card needs most of it.
const READY_TIMEOUT: Duration = Duration::from_mins(3);
/// Longest wait for the pods to end.
const END_TIMEOUT: Duration = Duration::from_mins(1);
/// Third bytes of 10.42.x.0/24 to choose from: far from those a cluster gives its nodes first.
const NETWORKS: std::ops::RangeInclusive<u8> = 200..=250;

pub fn run(args: &DemoArgs) -> Outcome {
    host::require_root("demo")?;
    let profile = node_args::profile(args.profile.as_deref())?;
    // What goes wrong is said by the demo; RUST_LOG shows the rest.
    log_to_stderr("error");
    let place = Place::choose()?;
    let config = NodeConfig {
        data_dir: place.data_dir.clone(),
        run_dir: place.record.run_dir.clone(),
        node_name: "demo".to_owned(),
        listen: place.listen,
        advertise: place.listen.ip(),
        bridge: place.record.network.bridge.clone(),
        pod_cidr: place.record.network.pod_cidr,
        cgroup_root: place.record.cgroup_root.clone(),
        settings: pressure_args::unpressed(&profile)?,
        profile,
        seccomp_default: true,
        allowed_unsafe_sysctls: Vec::new(),
        manifest_dir: None,
        node_monitor_grace_period: crate::controllers::NODE_MONITOR_GRACE_PERIOD,
    };
    let wait = !args.once && std::io::stdout().is_terminal();
    let runtime = runtime(&config.profile)?;
    let outcome = runtime.block_on(async {
        let shown = show(config, wait).await;
        say("Cleaning up …");
        let record = HostRecord::read(&place.data_dir)
            .ok()
            .flatten()
            .unwrap_or_else(|| place.record.clone());
        let cleared = reset::clear_host(&place.data_dir, &record).await;
        // The first thing that went wrong is the one to tell.
        shown.and(cleared)
    });
    runtime.shutdown_background();
    // Its parent is ours too; other files in it would be a leak worth seeing.
    let _ = std::fs::remove_dir(&place.directory);
    if outcome.is_ok() {
        say("Everything the demo made is gone.");
    }
    outcome
}

/// A line for people; a closed pipe must not keep the demo from cleaning up.
pub fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}

/// Where the demo's node lives.
struct Place {
    directory: PathBuf,
    data_dir: PathBuf,
    listen: SocketAddr,
    record: HostRecord,
}

impl Place {
    fn choose() -> Result<Place, anyhow::Error> {
        let process = std::process::id();
        let directory = writable_directory()?.join(format!("coracle-demo-{process}"));
        std::fs::create_dir(&directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let network = NETWORKS
            .map(|third| Ipv4Addr::new(10, 42, third, 0))
            .find(|network| !host::route_taken(*network))
            .context("no pod network is free: 10.42.200.0 to 10.42.250.0 are all routed")?;
        let port = free_port()?;
        // Short, because paths of sockets are (108 bytes).
        let run_dir = PathBuf::from(format!("/run/coracle-demo-{process}"));
        let bridge = format!("cord{process}");
        Ok(Place {
            data_dir: directory.join("data"),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            record: HostRecord {
                cgroup_root: format!("coracle-demo-{process}"),
                network: NetworkConfig {
                    table: format!("coracle-{bridge}"),
                    bridge,
                    pod_cidr: PodCidr {
                        network,
                        prefix: 24,
                    },
                    leases_dir: run_dir.join("leases"),
                },
                run_dir,
            },
            directory,
        })
    }
}

/// A directory for images: not on an overlay, which overlayfs cannot take for its upper layers.
fn writable_directory() -> Result<PathBuf, anyhow::Error> {
    let candidates = [
        std::env::temp_dir(),
        PathBuf::from("/var/tmp"),
        PathBuf::from("/var/lib"),
        PathBuf::from("/dev/shm"),
    ];
    let on_overlay = |path: &Path| {
        nix::sys::statfs::statfs(path)
            .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC)
    };
    candidates
        .into_iter()
        .find(|path| path.is_dir() && !on_overlay(path))
        .context(
            "no directory for images: /tmp, /var/tmp, /var/lib and /dev/shm are all on an overlay filesystem; name another with TMPDIR",
        )
}

/// A port nobody listens on; another process could take it in between, and the node would then say so.
fn free_port() -> Result<u16, anyhow::Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Starts the node, shows it, stops it. Whatever happens, the pods are deleted in order where that still works.
async fn show(config: NodeConfig, wait: bool) -> Outcome {
    let mut stop = StopSignals::new()?;
    say("Starting a throw-away node …");
    let node = tokio::select! {
        node = Node::start(config) => node?,
        () = stop.wait() => anyhow::bail!("interrupted before the node was up"),
    };
    let outcome = tokio::select! {
        shown = tour(&node.kubeconfig) => match shown {
            Ok(()) if wait => {
                say("\nCtrl-C ends the demo and removes everything it made.");
                stop.wait().await;
                Ok(ExitCode::SUCCESS)
            }
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(cause) => Err(cause),
        },
        () = stop.wait() => Ok(ExitCode::SUCCESS),
    };
    let ended = match session(&node.kubeconfig) {
        Ok(session) => end_pods(&session.client).await,
        Err(cause) => Err(cause),
    };
    node.stop().await;
    // Cleaning up sweeps what could not be ended in order; a tour that failed is what to tell.
    outcome.and_then(|code| ended.map(|()| code))
}

fn session(path: &Path) -> Result<Session, anyhow::Error> {
    let sources = Sources {
        explicit: Some(path.to_owned()),
        ..Sources::default()
    };
    let endpoint = kubeconfig::load(&sources, None)?;
    Ok(Session {
        client: Client::new(HttpsDoor::new(&endpoint)?),
        namespace: "default".to_owned(),
        namespace_explicit: false,
    })
}

async fn tour(kubeconfig: &Path) -> Result<(), anyhow::Error> {
    let session = session(kubeconfig)?;
    let discovery = discovery::Discovery::load(&session.client).await?;
    let resource = discovery
        .by_kind("v1", "Pod")
        .context("the server has no pods")?;
    say("Applying three web servers and a task with an init container …");
    for object in objects::all() {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let target = apply::Target {
            session: &session,
            resource,
            namespace: "default",
            name,
            parameter: "Strict",
        };
        let applied = target.apply(&object).await.context(name.to_owned())?;
        say(&format!("pod/{name} {applied}"));
    }
    let pods = tokio::time::timeout(READY_TIMEOUT, progress::until_ready(&session.client))
        .await
        .map_err(|_| {
            anyhow::anyhow!(
                "the pods are not all up after {} s; RUST_LOG=coracle=debug shows more",
                READY_TIMEOUT.as_secs()
            )
        })??;
    say("\nWhat runs:");
    say(progress::table(&pods).trim_end());
    let address = pods
        .iter()
        .find(|pod| progress::is_server(pod))
        .and_then(|pod| pod.status.as_ref()?.pod_ip.clone())
        .context("no web server has an address")?;
    let url = format!("http://{address}:{}/", objects::PORT);
    let page = page::fetch(&address, objects::PORT, "/")
        .await
        .with_context(|| format!("{url} cannot be fetched"))?;
    say(&format!("\nThe page at {url}:\n{}", page.trim_end()));
    say(&format!(
        "\nTry it yourself, in another terminal:\n  export KUBECONFIG={}\n  kubectl get pods -o wide\n  curl {url}",
        kubeconfig.display()
    ));
    Ok(())
}

/// Deletes the demo's pods and waits until they are gone.
async fn end_pods(client: &Client) -> Result<(), anyhow::Error> {
    let params = DeleteParams {
        grace_period_seconds: Some(1),
        ..DeleteParams::default()
    };
    for object in objects::all() {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match client.delete::<Pod>(Some("default"), name, &params).await {
            Err(cause) if !cause.is_not_found() => return Err(cause.into()),
            _ => {}
        }
    }
    tokio::time::timeout(END_TIMEOUT, progress::until_gone(client))
        .await
        .map_err(|_| anyhow::anyhow!("the pods did not end within {} s", END_TIMEOUT.as_secs()))
}
