//! Of where Services lead.

use super::named;
use crate::controllers::endpoints::{MANAGED_BY, SERVICE_NAME};
use crate::controllers::world::{World, key};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::sync::Arc;

const MIRROR: &str = "endpointslicemirroring-controller.k8s.io";

fn slices<'a>(
    world: &'a World,
    namespace: &'a str,
    service: &'a str,
) -> impl Iterator<Item = &'a Arc<EndpointSlice>> {
    world.slices.in_namespace(namespace).filter(move |slice| {
        let labels = slice.metadata.labels.as_ref();
        labels.and_then(|l| l.get(SERVICE_NAME)).map(String::as_str) == Some(service)
    })
}

pub fn served(world: &World) -> Vec<String> {
    let told = world.services.iter().filter_map(|service| {
        let selector = service.spec.as_ref()?.selector.as_ref()?;
        let (namespace, name) = key(&service.metadata);
        let mut pods: Vec<String> = world
            .pods
            .in_namespace(&namespace)
            .filter(|pod| selector.iter().all(|(k, v)| pod.labels().get(k) == Some(v)))
            .filter(|pod| pod.is_active() && pod.is_ready())
            .filter_map(|pod| pod.metadata.uid.clone())
            .collect();
        pods.sort();
        let mut sliced: Vec<String> = slices(world, &namespace, &name)
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .filter_map(|e| e.target_ref.as_ref()?.uid.clone())
            .collect();
        sliced.sort();
        let listed = world.endpoints.get(&(namespace, name.clone()));
        let mut listed: Vec<String> = listed
            .iter()
            .flat_map(|e| e.subsets.iter().flatten())
            .flat_map(|subset| subset.addresses.iter().flatten())
            .filter_map(|address| address.target_ref.as_ref()?.uid.clone())
            .collect();
        listed.sort();
        (pods != sliced || pods != listed)
            .then(|| format!("{name}: pods {pods:?}, slices {sliced:?}, endpoints {listed:?}"))
    });
    told.collect()
}

/// Slices of the mirror have what users wrote, and only where there is a Service.
pub fn mirrored(world: &World) -> Vec<String> {
    let is_mirror = |slice: &&Arc<EndpointSlice>| {
        let labels = slice.metadata.labels.as_ref();
        labels.and_then(|l| l.get(MANAGED_BY)).map(String::as_str) == Some(MIRROR)
    };
    let mut told = Vec::new();
    for endpoints in world.endpoints.iter() {
        let (namespace, name) = key(&endpoints.metadata);
        let is_free = world
            .services
            .get(&key(&endpoints.metadata))
            .is_some_and(|s| s.spec.as_ref().is_some_and(|s| s.selector.is_none()));
        let subsets = endpoints.subsets.iter().flatten();
        let mut wanted: Vec<(String, bool)> = subsets
            .flat_map(|s| {
                let ready = s.addresses.iter().flatten().map(|a| (a.ip.clone(), true));
                let waiting = s.not_ready_addresses.iter().flatten();
                ready.chain(waiting.map(|a| (a.ip.clone(), false)))
            })
            .filter(|_| is_free)
            .collect();
        wanted.sort();
        let mut found: Vec<(String, bool)> = slices(world, &namespace, &name)
            .filter(is_mirror)
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .flat_map(|e| {
                let ready = e.conditions.as_ref().and_then(|c| c.ready) == Some(true);
                e.addresses.iter().map(move |ip| (ip.clone(), ready))
            })
            .collect();
        found.sort();
        if wanted != found {
            told.push(format!("{name}: {wanted:?}, mirrored {found:?}"));
        }
    }
    let alone = |slice: &&Arc<EndpointSlice>| {
        let (namespace, _) = key(&slice.metadata);
        let labels = slice.metadata.labels.as_ref();
        let name = labels.and_then(|l| l.get(SERVICE_NAME)).cloned();
        world
            .endpoints
            .get(&(namespace, name.unwrap_or_default()))
            .is_none()
    };
    let alone = world.slices.iter().filter(is_mirror).filter(alone);
    told.extend(alone.map(|slice| format!("{} mirrors nothing", named(&slice.metadata))));
    told
}
