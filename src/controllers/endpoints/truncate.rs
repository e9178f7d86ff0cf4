//! Endpoints hold at most a thousand addresses, ready ones first.
//! <https://kubernetes.io/docs/concepts/services-networking/service/#over-capacity-endpoints>

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset};

pub const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses of one object (upstream's `maxCapacity`).
const ADDRESSES_MAX: usize = 1000;

/// Whether addresses were left out; each subset gives its share.
pub fn truncate(subsets: &mut Vec<EndpointSubset>) -> bool {
    let count = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|s| count(&s.addresses)).sum();
    let waiting: usize = subsets.iter().map(|s| count(&s.not_ready_addresses)).sum();
    if ready + waiting <= ADDRESSES_MAX {
        return false;
    }
    let room = ADDRESSES_MAX.saturating_sub(ready);
    for subset in subsets.iter_mut() {
        share(&mut subset.addresses, ADDRESSES_MAX, ready);
        share(&mut subset.not_ready_addresses, room, waiting);
    }
    subsets.retain(|s| s.addresses.is_some() || s.not_ready_addresses.is_some());
    true
}

/// Of `all` addresses `room` may stay; this list keeps its part of them.
fn share(list: &mut Option<Vec<EndpointAddress>>, room: usize, all: usize) {
    if let Some(addresses) = list
        && all > room
    {
        addresses.truncate(addresses.len().saturating_mul(room) / all.max(1));
        if addresses.is_empty() {
            *list = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_addresses_stay_first() {
        let list =
            |count: usize| Some(vec![EndpointAddress::default(); count]).filter(|l| !l.is_empty());
        let subset = |ready, waiting| EndpointSubset {
            addresses: list(ready),
            not_ready_addresses: list(waiting),
            ports: None,
        };
        let sizes = |subsets: &[EndpointSubset]| -> Vec<(usize, usize)> {
            let count = |l: &Option<Vec<EndpointAddress>>| l.as_ref().map_or(0, Vec::len);
            subsets
                .iter()
                .map(|s| (count(&s.addresses), count(&s.not_ready_addresses)))
                .collect()
        };
        for (given, cut, left) in [
            (vec![(600, 400)], false, vec![(600, 400)]),
            (vec![(800, 400)], true, vec![(800, 200)]),
            (vec![(1500, 10), (500, 0)], true, vec![(750, 0), (250, 0)]),
        ] {
            let mut subsets: Vec<_> = given.into_iter().map(|(r, w)| subset(r, w)).collect();
            assert_eq!((truncate(&mut subsets), sizes(&subsets)), (cut, left));
        }
    }
}
