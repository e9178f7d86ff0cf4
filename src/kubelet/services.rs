//! The cluster's services, as far as containers' variables tell of them: one watch for all pods of the node.
//!
//! Kept are names, addresses and ports only. It never knows about pods.

use super::spec::service_env::{self, Service};
use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{self as core, Pod};
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// More are left out, with a warning: variables for so many would not fit into a program's arguments anyhow.
const SERVICES_MAX: usize = 10_000;

/// By namespace and name; `None`: not read yet.
type Known = Option<BTreeMap<(String, String), Service>>;

/// Clones share one view.
#[derive(Clone)]
pub struct Services {
    known: watch::Receiver<Known>,
}

impl Services {
    /// The view, and the future that keeps it until `stop`.
    pub fn new(
        client: Client,
        stop: CancellationToken,
    ) -> (Services, impl Future<Output = ()> + Send) {
        let (sender, known) = watch::channel(None);
        (Services { known }, keep(client, sender, stop))
    }

    /// The variables for `pod`'s containers. Waits until the services were read once: a container is started with all
    /// of them or later.
    pub async fn variables(&self, pod: &Pod) -> Vec<(String, String)> {
        let mut receiver = self.known.clone();
        let Ok(known) = receiver.wait_for(Option::is_some).await else {
            // The kubelet stops: nothing is started any more.
            return std::future::pending().await;
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let links = pod.spec.as_ref().and_then(|s| s.enable_service_links) != Some(false);
        known.as_ref().map_or_else(Vec::new, |services| {
            let own = |((space, name), service): (&(String, String), &'_ Service)| {
                let is_own = links && space == namespace;
                let is_api = space == "default" && name == "kubernetes";
                (is_own || is_api).then(|| (is_own, name.clone(), service.clone()))
            };
            service_env::variables(services.iter().filter_map(own))
        })
    }
}

async fn keep(client: Client, known: watch::Sender<Known>, stop: CancellationToken) {
    let mut events = informer::<core::Service>(&client, Scope::default());
    let mut warned = false;
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        known.send_modify(|known| match event {
            Event::Restarted(list) => {
                let mut fresh = BTreeMap::new();
                for service in list {
                    put(&mut fresh, &service, &mut warned);
                }
                *known = Some(fresh);
            }
            Event::Applied(service) => {
                put(known.get_or_insert_default(), &service, &mut warned);
            }
            Event::Deleted(service) => {
                known.get_or_insert_default().remove(&key(&service));
            }
        });
    }
}

fn key(service: &core::Service) -> (String, String) {
    let meta = &service.metadata;
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

/// A service without an address has no variables.
fn put(
    services: &mut BTreeMap<(String, String), Service>,
    service: &core::Service,
    warned: &mut bool,
) {
    let key = key(service);
    let Some(told) = service_env::told(service) else {
        services.remove(&key);
        return;
    };
    if services.len() >= SERVICES_MAX && !services.contains_key(&key) {
        if !std::mem::replace(warned, true) {
            tracing::warn!(
                "more than {SERVICES_MAX} services: containers get no variables of the others"
            );
        }
        return;
    }
    services.insert(key, told);
}
