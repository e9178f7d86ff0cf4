//! Endpoints of Services with a selector: all addresses in one object, for clients that know no slices.

use super::mirror::LEADER;
use super::slices::GATHER;
use super::truncate::{OVER_CAPACITY, truncate};
use super::{HEADLESS, confirmed, differing, is_ending, members};
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::owners;
use crate::controllers::runner::Controller;
use crate::controllers::world::{Change, Key, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Says that the object was made here (since Kubernetes 1.33), and may go with its Service.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

pub struct Subsets;

impl Controller for Subsets {
    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Service(diff) => diff.key().into_iter().collect(),
            Change::Pod(diff) => members::of_pod(world, diff),
            // Users may write Endpoints before their Service: only the end of a Service takes those along.
            Change::Endpoints(diff) => {
                let ours = diff.newest().is_some_and(|e| is_ours(e));
                let key = diff.key();
                key.filter(|key| ours || world.services.get(key).is_some())
                    .into_iter()
                    .collect()
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
            None => without_service(world, key),
            Some(service) if is_ending(&service.metadata) => Plan::default(),
            Some(service) => of_service(world, service, key),
        }
    }
}

fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = owners::labels(&endpoints.metadata);
    labels.get(MANAGED_BY).is_some_and(|by| by == MANAGER)
}

fn without_service(world: &World, key: &Key) -> Plan {
    let Some(endpoints) = world.endpoints.get(key) else {
        return Plan::default();
    };
    let annotations = endpoints.metadata.annotations.as_ref();
    if annotations.is_some_and(|all| all.contains_key(LEADER)) || is_ending(&endpoints.metadata) {
        return Plan::default();
    }
    Plan::of(vec![
        Action::ConfirmGone(Target::named::<Service>(&key.0, &key.1)),
        Action::Delete {
            target: Target::of::<Endpoints>(&endpoints.metadata),
            resource_version: None,
            grace_period_seconds: None,
            propagation: None,
        },
    ])
}

fn of_service(world: &World, service: &Service, key: &Key) -> Plan {
    let (Some(spec), Some(_)) = (&service.spec, members::selector(service)) else {
        return Plan::default();
    };
    let mut subsets = subsets(world, service);
    let is_truncated = truncate(&mut subsets);
    let mut labels = owners::labels(&service.metadata).clone();
    labels.remove(HEADLESS);
    if members::is_headless(spec) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let Some(there) = world.endpoints.get(key) else {
        let annotations = is_truncated.then(|| json!({OVER_CAPACITY: "truncated"}));
        let mut object = json!({"metadata": {"namespace": key.0, "name": key.1, "labels": labels}});
        if let Some(annotations) = annotations {
            object["metadata"]["annotations"] = annotations;
        }
        if !subsets.is_empty() {
            object["subsets"] = json!(subsets);
        }
        let create = Action::Create {
            target: Target::named::<Endpoints>(&key.0, &key.1),
            object,
        };
        let owner = Target::of::<Service>(&service.metadata);
        return Plan::of(confirmed(owner, vec![create]));
    };
    if is_ending(&there.metadata) {
        return Plan::default();
    }
    let mut patch = json!({});
    if there.subsets.as_deref().unwrap_or_default() != subsets {
        patch["subsets"] = if subsets.is_empty() {
            Value::Null
        } else {
            json!(subsets)
        };
    }
    if let Some(labels) = differing(there.metadata.labels.as_ref(), &labels) {
        patch["metadata"]["labels"] = labels;
    }
    let annotations = there.metadata.annotations.as_ref();
    let says = annotations.and_then(|a| a.get(OVER_CAPACITY)).is_some();
    if says != is_truncated {
        let word = is_truncated.then_some("truncated");
        patch["metadata"]["annotations"] = json!({OVER_CAPACITY: word});
    }
    if patch == json!({}) {
        return Plan::default();
    }
    Plan::of(vec![Action::Patch {
        target: Target::of::<Endpoints>(&there.metadata),
        part: None,
        resource_version: there.metadata.resource_version.clone(),
        patch,
    }])
}

/// Address, then uid: the order addresses stand in.
type Place = (Option<Ipv4Addr>, String);
/// Name, number, protocol, application protocol; `None`: a headless Service without ports.
type Port = Option<(String, i32, String, Option<String>)>;
type Addresses = BTreeMap<Place, (EndpointAddress, bool)>;

/// Ports that the same addresses have, ready or not, stand together (upstream's `RepackSubsets`).
fn subsets(world: &World, service: &Service) -> Vec<EndpointSubset> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let publish = spec.publish_not_ready_addresses.unwrap_or(false);
    let mut by_port: BTreeMap<Port, Addresses> = BTreeMap::new();
    for (pod, ip) in members::pods(world, service, publish) {
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: members::hostname(pod, service),
            node_name: pod.spec.node_name.clone(),
            target_ref: Some(members::reference(pod)),
        };
        let place = (
            ip.parse().ok(),
            pod.metadata.uid.clone().unwrap_or_default(),
        );
        let ready = publish || pod.is_ready();
        let all = spec.ports.as_deref().unwrap_or_default();
        let mut ports: Vec<Port> = all
            .iter()
            .filter_map(|port| {
                Some(Some((
                    port.name.clone().unwrap_or_default(),
                    members::port(pod, port)?,
                    port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                    port.app_protocol.clone(),
                )))
            })
            .collect();
        if all.is_empty() && members::is_headless(spec) {
            ports.push(None);
        }
        for port in ports {
            let addresses = by_port.entry(port).or_default();
            addresses.insert(place.clone(), (address.clone(), ready));
        }
    }
    let mut packed: Vec<(Vec<Port>, Addresses)> = Vec::new();
    for (port, addresses) in by_port {
        match packed.iter_mut().find(|(_, same)| *same == addresses) {
            Some((ports, _)) => ports.push(port),
            None => packed.push((vec![port], addresses)),
        }
    }
    packed.into_iter().map(subset).collect()
}

fn subset((ports, addresses): (Vec<Port>, Addresses)) -> EndpointSubset {
    let filled = |list: Vec<EndpointAddress>| Some(list).filter(|list| !list.is_empty());
    let (ready, waiting): (Vec<_>, Vec<_>) = addresses.into_values().partition(|(_, ready)| *ready);
    let plain = |list: Vec<(EndpointAddress, bool)>| list.into_iter().map(|(a, _)| a).collect();
    let ports: Vec<EndpointPort> = ports
        .into_iter()
        .flatten()
        .map(|(name, port, protocol, app_protocol)| EndpointPort {
            name: Some(name).filter(|name| !name.is_empty()),
            port,
            protocol: Some(protocol),
            app_protocol,
        })
        .collect();
    EndpointSubset {
        addresses: filled(plain(ready)),
        not_ready_addresses: filled(plain(waiting)),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
    }
}
