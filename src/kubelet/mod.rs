//! The node agent: makes the pods bound to this node real and reports what became of them.
//!
//! What comes in: pods bound to this node (a watch), what happens to containers (events of the runtime), and requests
//! for logs, exec and images over its own HTTP interface. What goes out: calls to runtime, image and network, status
//! of pods and of the node, events; all of it through the API's own door.
//!
//! Invariants: decisions are pure ([`pod`], [`spec`], [`admit`]); one task owns a pod ([`worker`]) and looks at the
//! present state, never at a history of messages, so that nothing is lost by a restart. A running container is
//! never restarted because the node process was. Nothing is written to the API that did not change, and secrets stay
//! on tmpfs. It never knows about raft, the store, or other nodes.

mod dirs;
pub mod pod;
pub mod spec;
mod volumes;

use crate::client::Client;
use crate::image::Images;
use crate::network::Network;
use crate::profile::Profile;
use crate::runtime::{Runtime, RuntimeEvent};
use axum::body::Body;
use http::{Request, Response};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub struct KubeletConfig {
    pub node_name: String,
    pub node_ip: IpAddr,
    /// `10.42.0.0/24`, reported as `spec.podCIDR`.
    pub pod_cidr: String,
    /// Pod directories: `<pods_dir>/<uid>/…`, the same as the runtime's `state_dir`.
    pub pods_dir: PathBuf,
    pub profile: Profile,
}

/// What the kubelet works with; node.rs hands them over.
pub struct Parts {
    pub client: Client,
    pub runtime: Arc<Runtime>,
    pub events: mpsc::Receiver<RuntimeEvent>,
    pub images: Arc<Images>,
    pub network: Arc<Network>,
}

/// Clones share one kubelet.
#[derive(Clone)]
pub struct Kubelet {}

impl Kubelet {
    /// The kubelet, and the future that runs it until `stop` (containers keep running afterwards).
    pub fn new(
        _config: KubeletConfig,
        _parts: Parts,
        _stop: CancellationToken,
    ) -> (Kubelet, impl Future<Output = ()> + Send) {
        (todo!(), async {})
    }
    /// The kubelet's own HTTP interface: `/containerLogs/…`, `/exec/…`, `/images…`, `/healthz`.
    pub async fn handle(&self, _request: Request<Body>) -> Response<Body> {
        todo!()
    }
}
