//! The downward API: a pod's own fields and resources as text.
//! <https://kubernetes.io/docs/concepts/workloads/pods/downward-api/>

use super::{ConfigError, NodeFacts};
use crate::object::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The value of `fieldRef.fieldPath`.
pub fn field(pod: &Pod, path: &str, node: &NodeFacts, pod_ip: &str) -> Result<String, ConfigError> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((base, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = match base {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return Err(unknown(path)),
        };
        return Ok(text(map.and_then(|m| m.get(key))));
    }
    Ok(match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => map_lines(meta.labels.as_ref()),
        "metadata.annotations" => map_lines(meta.annotations.as_ref()),
        "spec.nodeName" => node.name.clone(),
        "spec.serviceAccountName" => text(spec.and_then(|s| s.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => node.ip.clone(),
        "status.podIP" | "status.podIPs" => pod_ip.to_string(),
        _ => return Err(unknown(path)),
    })
}

fn unknown(path: &str) -> ConfigError {
    ConfigError(format!("unsupported fieldPath: {path}"))
}

/// `key="value"` lines, values escaped, as in a downward API file.
fn map_lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut out = String::new();
    for (key, value) in map.into_iter().flatten() {
        let _ = write!(
            out,
            "{}{key}={value:?}",
            if out.is_empty() { "" } else { "\n" }
        );
    }
    out
}

/// The value of `resourceFieldRef`: a limit that is not set is the node's allocatable amount, a request that is not
/// set is 0. The result is in units of `divisor`, rounded up.
pub fn resource(
    pod: &Pod,
    own: &Container,
    selector: &ResourceFieldSelector,
    node: &NodeFacts,
) -> Result<String, ConfigError> {
    let container = match selector.container_name.as_deref() {
        None | Some("") => own,
        Some(name) => crate::kubelet::pod::state::containers(pod)
            .map(|(_, c)| c)
            .find(|c| c.name == name)
            .ok_or_else(|| ConfigError(format!("container {name} not found")))?,
    };
    let (kind, name) = selector.resource.split_once('.').ok_or_else(|| {
        ConfigError(format!(
            "unsupported container resource : {}",
            selector.resource
        ))
    })?;
    let resources = container.resources.clone().unwrap_or_default();
    let set = match kind {
        "limits" => resources.limits,
        "requests" => resources.requests,
        _ => {
            return Err(ConfigError(format!(
                "unsupported container resource : {}",
                selector.resource
            )));
        }
    };
    let is_cpu = name == "cpu";
    let amount_nano = match set.and_then(|s| s.get(name).cloned()) {
        Some(quantity) => Quantity::parse(&quantity.0).map_err(ConfigError)?.nano,
        None if kind == "requests" => 0,
        None => match name {
            "cpu" => i128::from(node.cpu_milli) * 1_000_000,
            "memory" => i128::from(node.memory_bytes) * 1_000_000_000,
            "ephemeral-storage" => i128::from(node.ephemeral_storage_bytes) * 1_000_000_000,
            _ => 0,
        },
    };
    let divisor = selector
        .divisor
        .as_ref()
        .map(|d| Quantity::parse(&d.0))
        .transpose()
        .map_err(ConfigError)?;
    let divisor_nano = divisor
        .map(|d| d.nano)
        .filter(|d| *d > 0)
        .unwrap_or(1_000_000_000);
    // Upstream divides CPU in thousandths and everything else in whole units, both rounded up.
    let unit = if is_cpu { 1_000_000 } else { 1_000_000_000 };
    let amount = ceil_div(amount_nano, unit);
    let divisor = ceil_div(divisor_nano, unit).max(1);
    Ok(ceil_div(amount, divisor).to_string())
}

fn ceil_div(a: i128, b: i128) -> i128 {
    a / b + i128::from(a % b > 0)
}
