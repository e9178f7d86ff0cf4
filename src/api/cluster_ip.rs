//! Cluster addresses of Services: each claimed by a key of its own in the transaction that writes the Service,
//! so that no two Services can get the same one.

use super::kinds::Kind;
use super::status::{ApiError, ApiResult};
use crate::object::access::text;
use crate::store::{Body, Expect, Key, Op, Store};
use rand::Rng;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// 10.43.0.0/16, k3s's default service network.
const NETWORK: [u8; 2] = [10, 43];

/// Addresses below 10.43.0.16 are given on request only: the API itself and DNS live there.
const RESERVED_BELOW: u16 = 16;

/// Random draws before the network counts as full; with half of it taken, 64 misses in a row do not happen.
const DRAWS_MAX: usize = 64;

fn claim_key(address: Ipv4Addr) -> Key {
    Key(format!("claims.clusterip/{address}"))
}

fn is_service(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "services"
}

/// Gives a Service without an address one, checks one that was asked for, and returns the claim to commit with it.
pub(super) fn claim(store: &Store, object: &mut Value, kind: &Kind) -> ApiResult<Option<Op>> {
    if !is_service(kind) || text(object, "/spec/type") == "ExternalName" {
        return Ok(None);
    }
    let name = text(object, "/metadata/name").to_owned();
    let address = match text(object, "/spec/clusterIP") {
        "None" => return Ok(None),
        "" => draw(store)?,
        asked => {
            let refuse = |why: &str| {
                let error = super::kinds::FieldError {
                    field: "spec.clusterIPs".into(),
                    reason: "FieldValueInvalid",
                    message: format!(
                        "Invalid value: {asked:?}: failed to allocate IP {asked}: {why}"
                    ),
                };
                ApiError::invalid(kind, &name, &[error])
            };
            let address: Ipv4Addr = asked.parse().map_err(|_| refuse("not an IPv4 address"))?;
            if address.octets()[..2] != NETWORK {
                return Err(refuse(
                    "the provided IP is not in the valid range 10.43.0.0/16",
                ));
            }
            if store.get(&claim_key(address))?.is_some() {
                return Err(refuse("provided IP is already allocated"));
            }
            address
        }
    };
    object["spec"]["clusterIP"] = address.to_string().into();
    object["spec"]["clusterIPs"] = json!([address.to_string()]);
    let head = format!("{{\"service\":{},\"resourceVersion\":\"", Value::from(name));
    let body = Body {
        revision_at: head.len() as u32,
        json: format!("{head}\"}}").into(),
    };
    Ok(Some(Op::Put {
        key: claim_key(address),
        body,
        expect: Expect::Absent,
    }))
}

/// What a changed Service claims and gives back: its type decides whether it has an address.
pub(super) fn follow(
    store: &Store,
    before: &Value,
    object: &mut Value,
    kind: &Kind,
) -> ApiResult<Vec<Op>> {
    let (held, wanted) = (
        text(before, "/spec/clusterIP"),
        text(object, "/spec/clusterIP"),
    );
    let needs_none = wanted.is_empty() && text(object, "/spec/type") == "ExternalName";
    if !is_service(kind) || (held == wanted && (needs_none || !wanted.is_empty())) {
        return Ok(Vec::new());
    }
    let mut ops = Vec::new();
    ops.extend(release(store, before, kind)?);
    ops.extend(claim(store, object, kind)?);
    Ok(ops)
}

/// Gives the address of a deleted Service back, in the transaction that deletes it.
pub(super) fn release(store: &Store, object: &Value, kind: &Kind) -> ApiResult<Option<Op>> {
    if !is_service(kind) {
        return Ok(None);
    }
    let Ok(address) = text(object, "/spec/clusterIP").parse() else {
        return Ok(None);
    };
    let key = claim_key(address);
    let claim = store.get(&key)?;
    Ok(claim.map(|claim| Op::Delete {
        key,
        expect: Expect::Revision(claim.revision),
    }))
}

fn draw(store: &Store) -> ApiResult<Ipv4Addr> {
    for _ in 0..DRAWS_MAX {
        let [high, low] = rand::rng()
            .random_range(RESERVED_BELOW..u16::MAX)
            .to_be_bytes();
        let address = Ipv4Addr::new(NETWORK[0], NETWORK[1], high, low);
        if store.get(&claim_key(address))?.is_none() {
            return Ok(address);
        }
    }
    Err(ApiError::internal(
        "no free address in the service network 10.43.0.0/16: delete Services that are not needed",
    ))
}
