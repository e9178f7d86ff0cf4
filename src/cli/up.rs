//! `coracle up`: this node in the foreground.

use super::node_args::{self, parse_bridge, parse_cgroup_root, parse_pod_cidr, parse_sysctl};
use super::pressure_args::PressureArgs;
use super::{Outcome, heap, host};
use crate::network::PodCidr;
use crate::node::record;
use crate::node::{Node, NodeConfig};
use crate::profile::Profile;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Sockets, locks and leases; on tmpfs, so that a reboot clears it.
    #[arg(long, value_name = "DIR", default_value = record::RUN_DIR)]
    run_dir: PathBuf,
    /// Default: the host's name.
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Address and port of the Kubernetes API.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:6443")]
    listen: SocketAddr,
    /// Address others reach this node at; default: that of the interface with the default route.
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<IpAddr>,
    /// Bridge of the pods' links.
    #[arg(long, value_name = "NAME", default_value = record::BRIDGE, value_parser = parse_bridge)]
    bridge: String,
    /// Network of this node's pods.
    #[arg(long, value_name = "CIDR", default_value = "10.42.0.0/24", value_parser = parse_pod_cidr)]
    pod_cidr: PodCidr,
    /// Parent of all pods' cgroups.
    #[arg(long, value_name = "NAME", default_value = record::CGROUP_ROOT, value_parser = parse_cgroup_root)]
    cgroup_root: String,
    /// Firmware profile; default: the one for this board.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Containers that name no seccomp profile get the runtime's default one; `false`: none.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    seccomp_default: bool,
    /// Sysctls that pods may set beside the safe ones, separated by commas; `kernel.msg*` allows all that begin so.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_sysctl)]
    allowed_unsafe_sysctls: Vec<String>,
    /// Directory of static pods: one pod per YAML or JSON file, run without the API and watched for changes.
    #[arg(long, value_name = "DIR")]
    manifest_dir: Option<PathBuf>,
    #[command(flatten)]
    pressure: PressureArgs,
    /// How long a node may be silent until it counts as lost, e.g. 1m; at least 15s. Default: 40s.
    #[arg(long, value_name = "DURATION", value_parser = node_args::parse_grace_period)]
    node_monitor_grace_period: Option<Duration>,
}

pub fn run(args: UpArgs, data_dir: PathBuf) -> Outcome {
    let profile = node_args::profile(args.profile.as_deref())?;
    let settings = args.pressure.settings(&profile)?;
    let node_name = node_args::node_name(args.node_name)?;
    host::require_root("up")?;
    log_to_stderr("info");
    let config = NodeConfig {
        data_dir,
        run_dir: args.run_dir,
        node_name,
        listen: args.listen,
        advertise: args.advertise.unwrap_or_else(host::address),
        bridge: args.bridge,
        pod_cidr: args.pod_cidr,
        cgroup_root: args.cgroup_root,
        profile,
        seccomp_default: args.seccomp_default,
        allowed_unsafe_sysctls: args.allowed_unsafe_sysctls,
        manifest_dir: args.manifest_dir,
        settings,
        node_monitor_grace_period: args
            .node_monitor_grace_period
            .unwrap_or(crate::controllers::NODE_MONITOR_GRACE_PERIOD),
    };
    heap::keep_small();
    let runtime = runtime(&config.profile)?;
    runtime.block_on(serve(config))?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: NodeConfig) -> Result<(), anyhow::Error> {
    // Before the start: a signal during it must stop the node in order, too.
    let mut stop = StopSignals::new()?;
    let name = config.node_name.clone();
    let node = tokio::select! {
        node = Node::start(config) => node?,
        () = stop.wait() => anyhow::bail!("stopped before the node was up"),
    };
    tracing::info!(node = name, "the node is up");
    heap::give_back();
    eprintln!("To use it: export KUBECONFIG={}", node.kubeconfig.display());
    tokio::select! {
        () = stop.wait() => {}
        () = heap::keep_giving_back() => {}
    }
    tracing::info!("stopping; containers keep running");
    tokio::select! {
        () = node.stop() => {}
        // A second signal is a user who cannot wait.
        () = stop.wait() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

/// SIGINT and SIGTERM.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub fn new() -> Result<StopSignals, std::io::Error> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The runtime a node of this profile runs on.
pub fn runtime(profile: &Profile) -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(profile.threads.workers.max(1))
        .max_blocking_threads(profile.threads.blocking_max.max(1))
        .enable_all()
        .build()
}

/// Logs on standard error: ours from `level`, others' from warnings; RUST_LOG overrides both.
pub fn log_to_stderr(level: &str) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("warn,coracle={level}")));
    // Fails only where a subscriber is set already, which is then as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
