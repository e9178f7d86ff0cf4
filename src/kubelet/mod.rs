//! The node agent: makes the pods bound to this node real and reports what became of them.
//!
//! What comes in: pods bound to this node (a watch), pods from files, what happens to containers (events of the runtime), and requests
//! for logs, exec and images over its own HTTP interface. What goes out: calls to runtime, image and network, status
//! of pods and of the node, events; all of it through the API's own door.
//!
//! Invariants: decisions are pure ([`pod`], [`spec`], `admit`); one task owns a pod (`worker`) and looks at the
//! present state, never at a history of messages, so that nothing is lost by a restart. A running container is
//! never restarted because the node process was. Nothing is written to the API that did not change, and secrets stay
//! on tmpfs. It never knows about raft, the store, or other nodes.

mod act;
mod admit;
mod admit_security;
mod cgroups;
mod counters;
mod dirs;
mod events;
mod eviction;
mod gc;
mod hooks;
mod http;
mod images;
mod last_words;
mod lease;
mod machine;
mod manager;
mod node_status;
pub mod pod;
pub mod probes;
mod provisioner;
mod services;
pub mod spec;
pub mod static_pods;
mod stats;
mod user_ranges;
mod volumes;
mod worker;

use crate::client::Client;
use crate::image::Images;
use crate::network::Network;
use crate::profile::{LogProfile, Profile};
use crate::runtime::{Runtime, RuntimeEvent};
use ::http::{Request, Response};
use axum::body::Body;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub struct KubeletConfig {
    pub node_name: String,
    pub node_ip: IpAddr,
    /// `10.42.0.0/24`, reported as `spec.podCIDR`.
    pub pod_cidr: String,
    /// Pod directories: `<pods_dir>/<uid>/…`, the same as the runtime's `state_dir`.
    pub pods_dir: PathBuf,
    /// A directory of the kubelet's own on tmpfs: volumes of Secrets and ConfigMaps, termination messages.
    pub run_dir: PathBuf,
    pub profile: Profile,
    /// Where `Localhost` seccomp profiles are.
    pub seccomp_dir: PathBuf,
    /// Containers that say nothing get the seccomp profile `RuntimeDefault`, where the kernel filters at all.
    pub seccomp_default: bool,
    /// Sysctls that pods may set beside the safe ones; `*` at the end stands for any rest.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// What is kept back from pods and when they are given up.
    pub settings: Settings,
    /// Where the image store is: it may have a disk of its own.
    pub images_dir: PathBuf,
    /// Pods from files.
    pub static_pods: Option<static_pods::StaticPods>,
}

pub use eviction::{Flags as EvictionFlags, Settings};

/// What the kubelet works with; node.rs hands them over.
pub struct Parts {
    pub client: Client,
    pub runtime: Arc<Runtime>,
    pub events: mpsc::Receiver<RuntimeEvent>,
    pub images: Arc<Images>,
    pub network: Arc<Network>,
}

/// What every worker uses.
struct Context {
    node_name: String,
    client: Client,
    runtime: Arc<Runtime>,
    network: Arc<Network>,
    puller: images::Puller,
    recorder: events::Recorder,
    dirs: dirs::Dirs,
    facts: spec::NodeFacts,
    labels: BTreeMap<String, String>,
    pods_max: u32,
    logs: LogProfile,
    /// Something the node's object shows has changed.
    node_changed: Arc<Notify>,
    policy: spec::security::SecurityPolicy,
    services: services::Services,
    /// The objects that volumes here show.
    watched: Arc<volumes::Watched>,
    /// Conditions under which fewer pods are taken.
    pressure: watch::Receiver<eviction::Pressure>,
    counters: Arc<counters::Counters>,
    images_dir: PathBuf,
    pods: Arc<manager::Pods>,
    cgroups: Arc<cgroups::Cgroups>,
    /// Held by whoever gives a pod room on this node.
    room: tokio::sync::Mutex<()>,
}

/// Clones share one kubelet.
#[derive(Clone)]
pub struct Kubelet {
    router: axum::Router,
}

impl Kubelet {
    /// The kubelet, and the future that runs it until `stop` (containers keep running afterwards).
    pub fn new(
        config: KubeletConfig,
        parts: Parts,
        stop: CancellationToken,
    ) -> (Kubelet, impl Future<Output = ()> + Send) {
        let fixed = Arc::new(machine::Fixed::read(
            &config.node_name,
            &config.node_ip.to_string(),
            &config.pod_cidr,
            config.profile.pods_max,
            &config.pods_dir,
            Arc::new(config.settings.clone()),
        ));
        let source = crate::client::recorder::Source {
            component: "kubelet",
            host: Some(config.node_name.clone()),
        };
        let (recorder, recording) =
            events::Recorder::new(parts.client.clone(), source, stop.clone());
        let (services, watching) = services::Services::new(parts.client.clone(), stop.clone());
        let dirs = dirs::Dirs {
            pods: config.pods_dir.clone(),
            run: config.run_dir,
        };
        let pods = Arc::new(manager::Pods::default());
        let counters = Arc::new(counters::Counters::default());
        let node_changed = Arc::new(Notify::new());
        let stats = Arc::new(stats::Stats::new(
            parts.runtime.clone(),
            pods.clone(),
            dirs.clone(),
        ));
        let collector = Arc::new(gc::Collector {
            images: parts.images.clone(),
            pods: pods.clone(),
            dirs: dirs.clone(),
            settings: config.settings.image_gc,
            counters: counters.clone(),
            recorder: recorder.clone(),
            node_name: config.node_name.clone(),
            node_changed: node_changed.clone(),
            images_dir: config.images_dir.clone(),
            state: tokio::sync::Mutex::default(),
        });
        let eviction_parts = eviction::Parts {
            pods: pods.clone(),
            stats: stats.clone(),
            collector: collector.clone(),
            counters: counters.clone(),
            recorder: recorder.clone(),
            dirs: dirs.clone(),
            node_name: config.node_name.clone(),
            node_changed: node_changed.clone(),
            images_dir: config.images_dir.clone(),
        };
        let cgroups = Arc::new(cgroups::Cgroups::new(
            parts.runtime.limiter(),
            pods.clone(),
            fixed.facts(),
            cgroups::node_limits(
                fixed.cpu_milli,
                fixed.memory_bytes,
                machine::pids_max(),
                &config.settings.reserved,
            ),
            (config.settings.pod_pids_max > 0).then_some(config.settings.pod_pids_max),
        ));
        let (evictions, pressure) =
            eviction::Manager::new(eviction_parts, Arc::new(config.settings));
        let ctx = Arc::new(Context {
            node_name: config.node_name.clone(),
            client: parts.client.clone(),
            runtime: parts.runtime,
            network: parts.network,
            puller: images::Puller::new(parts.images.clone(), config.profile.images.pulls_parallel),
            recorder: recorder.clone(),
            dirs,
            facts: fixed.facts(),
            labels: fixed.labels(),
            pods_max: config.profile.pods_max,
            logs: config.profile.logs.clone(),
            node_changed,
            policy: spec::security::SecurityPolicy {
                seccomp_dir: config.seccomp_dir,
                seccomp_default: config.seccomp_default && crate::runtime::seccomp::supported(),
                apparmor: admit_security::apparmor(),
                allowed_unsafe_sysctls: config.allowed_unsafe_sysctls,
            },
            services,
            watched: Arc::new(volumes::Watched::new(parts.client.clone())),
            pressure: pressure.clone(),
            counters,
            images_dir: config.images_dir,
            pods: pods.clone(),
            cgroups,
            room: tokio::sync::Mutex::default(),
        });
        // Beside the pods' directories: volumes outlive pods.
        let storage = config.pods_dir.with_file_name("storage");
        let router = http::router(ctx.clone(), pods.clone(), stats);
        let parts_client = parts.client.clone();
        let node = node_status::run(
            parts.client,
            fixed,
            parts.images,
            pressure,
            recorder,
            ctx.node_changed.clone(),
            stop.clone(),
        );
        let living = lease::run(parts_client, config.node_name, stop.clone());
        let provisioning = provisioner::run(ctx.clone(), storage, stop.clone());
        let evicting = evictions.run(stop.clone());
        let collecting = {
            let stop = stop.clone();
            async move { collector.run(stop).await }
        };
        let managing = manager::run(ctx, pods, parts.events, config.static_pods, stop);
        let running = async move {
            tokio::join!(
                node,
                managing,
                recording,
                watching,
                provisioning,
                evicting,
                collecting,
                living
            );
        };
        (Kubelet { router }, running)
    }

    /// The kubelet's own HTTP interface: `/containerLogs/…`, `/exec/…`, `/images…`, `/healthz`.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        use tower::ServiceExt;
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
