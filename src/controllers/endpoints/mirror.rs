//! EndpointSlices of Endpoints that users write for Services without a selector.
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring>

use super::fit::{Group, Slot, delete, fit, written};
use super::slices::of_slice;
use super::{Labels, confirmed, is_ending};
use crate::controllers::action::{Plan, Target};
use crate::controllers::owners;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use std::net::IpAddr;

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Endpoints of one slice, and of those of one subset that are mirrored (upstream's default).
const ENDPOINTS_MAX: usize = 1000;
/// On Endpoints: mirror nothing.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// On Endpoints that are a lock.
pub const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Not for slices: they are about the other object.
const OWN_ANNOTATIONS: [&str; 2] = [
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
];

pub struct Mirror;

impl Controller for Mirror {
    fn name(&self) -> &'static str {
        "endpoint-slice-mirroring-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Service(diff) => diff.key().into_iter().collect(),
            Change::Endpoints(diff) => diff.key().into_iter().collect(),
            Change::Slice(diff) => of_slice(diff, MANAGER),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let endpoints = world.endpoints.get(key);
        match endpoints.filter(|endpoints| is_mirrored(world, key, endpoints)) {
            Some(endpoints) if is_ending(&endpoints.metadata) => Plan::default(),
            Some(endpoints) => of_endpoints(world, endpoints),
            None => {
                let uid = endpoints.and_then(|e| e.metadata.uid.as_deref());
                let slices = written(world, &key.0, &key.1, MANAGER, uid.unwrap_or_default());
                Plan::of(slices.iter().map(|slice| delete(slice)).collect())
            }
        }
    }
}

fn is_mirrored(world: &World, key: &Key, endpoints: &Endpoints) -> bool {
    let skip = owners::labels(&endpoints.metadata).get(SKIP);
    let annotations = endpoints.metadata.annotations.as_ref();
    let is_lock = annotations.is_some_and(|all| all.contains_key(LEADER));
    let free = |service: &std::sync::Arc<k8s_openapi::api::core::v1::Service>| {
        let spec = service.spec.as_ref();
        spec.and_then(|s| s.selector.as_ref())
            .is_none_or(|s| s.is_empty())
    };
    skip.is_none_or(|skip| skip != "true") && !is_lock && world.services.get(key).is_some_and(free)
}

fn of_endpoints(world: &World, endpoints: &Endpoints) -> Plan {
    let mut groups: Vec<Group> = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        for family in ["IPv4", "IPv6"] {
            let found = of_subset(subset, family);
            let ports = ports(subset);
            let same = |group: &&mut Group| group.family == family && group.ports == ports;
            match groups.iter_mut().find(same) {
                _ if found.is_empty() => {}
                Some(group) => group.endpoints.extend(found),
                None => groups.push(Group {
                    family,
                    ports,
                    endpoints: found,
                }),
            }
        }
    }
    let labels = owners::labels(&endpoints.metadata).clone();
    let mut slot = Slot::new::<Endpoints>(&endpoints.metadata, labels, MANAGER, ENDPOINTS_MAX);
    let annotations = endpoints.metadata.annotations.iter().flatten();
    let about_both = annotations.filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str()));
    slot.annotations = about_both
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect::<Labels>();
    let target = Target::of::<Endpoints>(&endpoints.metadata);
    Plan::of(confirmed(target, fit(world, &slot, groups)))
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let ports = subset.ports.iter().flatten();
    ports
        .map(|port| EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(port.port),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
        .collect()
}

fn of_subset(subset: &EndpointSubset, family: &str) -> Vec<Endpoint> {
    let ready = subset.addresses.iter().flatten().map(|a| (a, true));
    let waiting = subset.not_ready_addresses.iter().flatten();
    let waiting = waiting.map(|a| (a, false));
    ready
        .chain(waiting)
        .filter(|(address, _)| match address.ip.parse() {
            Ok(IpAddr::V4(_)) => family == "IPv4",
            Ok(IpAddr::V6(_)) => family == "IPv6",
            Err(_) => false,
        })
        .take(ENDPOINTS_MAX)
        .map(|(address, ready)| endpoint(address, ready))
        .collect()
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}
