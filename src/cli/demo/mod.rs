//! `coracle demo`: a throw-away node at work, beside whatever else this host runs.
//!
//! Everything it makes has names of its own: directories, bridge, pod network, cgroup, port. All of it is removed
//! at the end, also after an error. With `--once`, or where standard output is no terminal, it does not wait for
//! Ctrl-C, so that a script can run it.

mod data;
mod end;
mod job;
mod objects;
mod page;
mod pods;
mod progress;
mod server;
mod tour;
mod traffic;
mod update;

use super::up::{StopSignals, log_to_stderr, runtime};
use super::{Outcome, host, node_args, pressure_args, reset};
use crate::network::{NetworkConfig, PodCidr};
use crate::node::record::HostRecord;
use crate::node::{Node, NodeConfig};
use anyhow::Context;
use server::Server;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Clean up and end as soon as everything was shown.
    #[arg(long)]
    once: bool,
    /// Firmware profile; default: the one for this board.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

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
        shown = tour::show(&node.kubeconfig) => match shown {
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
    let ended = end::show(&node.kubeconfig).await;
    node.stop().await;
    // Cleaning up sweeps what could not be ended in order; a tour that failed is what to tell.
    outcome.and_then(|code| ended.map(|()| code))
}
