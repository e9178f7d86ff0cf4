//! EndpointSlices of Services with a selector.

use super::fit::{Group, Slot, fit};
use super::{HEADLESS, MANAGED_BY, SERVICE_NAME, confirmed, is_ending, members};
use crate::controllers::action::{Plan, Target};
use crate::controllers::owners;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Diff, Key, PodView, World, key};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use std::time::Duration;

const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Endpoints of one slice (upstream's default).
const ENDPOINTS_MAX: usize = 100;
const ZONE: &str = "topology.kubernetes.io/zone";
/// Pods of one rollout that change together are written together.
pub const GATHER: Duration = Duration::from_millis(50);

pub struct Slices;

impl Controller for Slices {
    fn name(&self) -> &'static str {
        "endpoint-slice-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Service(diff) => diff.key().into_iter().collect(),
            Change::Pod(diff) => members::of_pod(world, diff),
            Change::Slice(diff) => of_slice(diff, MANAGER),
            Change::Node(diff) if zone(diff.old.as_deref()) != zone(diff.new.as_deref()) => {
                world.services.iter().map(|s| key(&s.metadata)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn gathers(&self, change: &Change) -> Duration {
        match change {
            Change::Pod(_) => GATHER,
            _ => Duration::ZERO,
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        match world.services.get(key) {
            Some(service) if !is_ending(&service.metadata) => of_service(world, service),
            _ => Plan::default(),
        }
    }
}

/// Whom a slice of this manager is for.
pub fn of_slice(diff: &Diff<EndpointSlice>, manager: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    for slice in [&diff.old, &diff.new].into_iter().flatten() {
        let labels = owners::labels(&slice.metadata);
        if labels.get(MANAGED_BY).is_some_and(|by| by == manager)
            && let Some(name) = labels.get(SERVICE_NAME)
        {
            let namespace = slice.metadata.namespace.clone().unwrap_or_default();
            keys.push((namespace, name.clone()));
        }
    }
    keys.dedup();
    keys
}

fn zone(node: Option<&Node>) -> Option<String> {
    node?.metadata.labels.as_ref()?.get(ZONE).cloned()
}

fn of_service(world: &World, service: &Service) -> Plan {
    let (Some(spec), Some(_)) = (&service.spec, members::selector(service)) else {
        return Plan::default();
    };
    let mut groups: Vec<Group> = Vec::new();
    for (pod, address) in members::pods(world, service, true) {
        let ports = ports(service, pod);
        let endpoint = endpoint(world, service, pod, address);
        match groups.iter_mut().find(|group| group.ports == ports) {
            Some(group) => group.endpoints.push(endpoint),
            None => groups.push(Group {
                family: "IPv4",
                ports,
                endpoints: vec![endpoint],
            }),
        }
    }
    let mut labels = owners::labels(&service.metadata).clone();
    labels.remove(HEADLESS);
    if members::is_headless(spec) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    let slot = Slot::new::<Service>(&service.metadata, labels, MANAGER, ENDPOINTS_MAX);
    let target = Target::of::<Service>(&service.metadata);
    Plan::of(confirmed(target, fit(world, &slot, groups)))
}

/// The Service's ports in this pod. One that has none of them is an endpoint all the same, as upstream has it.
fn ports(service: &Service, pod: &PodView) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    let found = ports.filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(members::port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}

fn endpoint(world: &World, service: &Service, pod: &PodView, address: &str) -> Endpoint {
    let publish = service
        .spec
        .as_ref()
        .and_then(|s| s.publish_not_ready_addresses)
        .unwrap_or(false);
    let (serving, terminating) = (pod.is_ready(), pod.is_ending());
    let node = pod.spec.node_name.clone();
    let placed = node
        .as_ref()
        .and_then(|name| world.nodes.get(&(String::new(), name.clone())));
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: members::hostname(pod, service),
        zone: zone(placed.map(AsRef::as_ref)),
        node_name: node,
        target_ref: Some(members::reference(pod)),
        ..Endpoint::default()
    }
}
