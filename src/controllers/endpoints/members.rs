//! Which pods a Service has, and at which of their ports.

use crate::controllers::world::{Diff, Key, PodView, World, key};
use k8s_openapi::api::core::v1::{
    ContainerPort, ObjectReference, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The labels of its pods. `None`: its endpoints are somebody else's, or it has none.
pub fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|labels| !labels.is_empty())?;
    (spec.type_.as_deref() != Some("ExternalName")).then_some(selector)
}

pub fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

fn selects(service: &Service, pod: &PodView) -> bool {
    let labels = pod.labels();
    selector(service).is_some_and(|wanted| wanted.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

/// The Service's pods that can be reached at all. Ending ones count where somebody asks for them.
pub fn pods<'a>(
    world: &'a World,
    service: &'a Service,
    ending: bool,
) -> impl Iterator<Item = (&'a Arc<PodView>, &'a str)> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let pods = world.pods.in_namespace(namespace);
    pods.filter(move |pod| {
        selects(service, pod) && !pod.is_finished() && (ending || !pod.is_ending())
    })
    .filter_map(|pod| Some((pod, address(pod)?)))
}

/// The pod's IPv4 address.
fn address(pod: &PodView) -> Option<&str> {
    let others = pod.status.pod_ips.iter().map(|ip| ip.ip.as_str());
    let mut all = pod.status.pod_ip.as_deref().into_iter().chain(others);
    all.find(|ip| ip.parse::<Ipv4Addr>().is_ok())
}

/// The number that the Service's port has in this pod (upstream's `FindPort`).
pub fn port(pod: &PodView, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let fits = |p: &&ContainerPort| {
        p.name.as_ref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol
    };
    let sidecars = pod.spec.init_containers.iter();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let containers = pod.spec.containers.iter().chain(sidecars);
    let found = containers.flat_map(|c| &c.ports).find(fits)?;
    Some(found.container_port)
}

pub fn reference(pod: &PodView) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The pod's name within the Service's domain, where it asks for one.
pub fn hostname(pod: &PodView, service: &Service) -> Option<String> {
    let hostname = pod.spec.hostname.clone().filter(|name| !name.is_empty())?;
    let subdomain = pod.spec.subdomain.as_deref().unwrap_or_default();
    (service.metadata.name.as_deref() == Some(subdomain)).then_some(hostname)
}

/// Services that the change of a pod concerns.
pub fn of_pod(world: &World, diff: &Diff<PodView>) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&diff.old, &diff.new)
        && seen(old) == seen(new)
    {
        return Vec::new();
    }
    let Some(pod) = diff.newest() else {
        return Vec::new();
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let pods = || [&diff.old, &diff.new].into_iter().flatten();
    let services = world.services.in_namespace(namespace);
    services
        .filter(|service| pods().any(|pod| selects(service, pod)))
        .map(|service| key(&service.metadata))
        .collect()
}

/// What a Service sees of a pod that can change.
type Seen<'a> = (
    Option<&'a str>,
    [bool; 3],
    &'a BTreeMap<String, String>,
    Option<&'a String>,
    Option<&'a String>,
);

fn seen(pod: &PodView) -> Seen<'_> {
    (
        address(pod),
        [pod.is_ready(), pod.is_ending(), pod.is_finished()],
        pod.labels(),
        pod.spec.node_name.as_ref(),
        pod.metadata.uid.as_ref(),
    )
}
