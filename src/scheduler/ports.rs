//! Ports of the host that pods take.
//! <https://kubernetes.io/docs/concepts/configuration/overview/#services>

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// The address that stands for all.
const EVERYWHERE: &str = "0.0.0.0";

/// One port that a pod takes from its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub port: i32,
    pub protocol: String,
    pub address: String,
}

impl HostPort {
    /// The same port and protocol, at the same address or where one of them is everywhere.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address
                || self.address == EVERYWHERE
                || other.address == EVERYWHERE)
    }
}

/// Ports of what runs as long as the pod does: containers and sidecars (upstream's `GetHostPorts`).
pub fn read(spec: &PodSpec) -> Vec<HostPort> {
    let sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(sidecar);
    let containers = spec.containers.iter().chain(sidecars);
    let filled = |text: &Option<String>, other: &str| match text.as_deref() {
        None | Some("") => other.to_owned(),
        Some(text) => text.to_owned(),
    };
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            Some(HostPort {
                port: number,
                protocol: filled(&port.protocol, "TCP"),
                address: filled(&port.host_ip, EVERYWHERE),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn protocol_and_address_tell_ports_apart() {
        let port = |port, protocol: &str, address: &str| HostPort {
            port,
            protocol: protocol.to_owned(),
            address: address.to_owned(),
        };
        let taken = port(80, "TCP", "10.0.0.1");
        for (other, want) in [
            (port(80, "TCP", "10.0.0.1"), true),
            (port(80, "TCP", "10.0.0.2"), false),
            (port(80, "TCP", EVERYWHERE), true),
            (port(80, "UDP", EVERYWHERE), false),
            (port(81, "TCP", EVERYWHERE), false),
        ] {
            assert_eq!(taken.conflicts(&other), want, "{other:?}");
            assert_eq!(other.conflicts(&taken), want, "{other:?}");
        }
    }

    #[test]
    fn containers_and_sidecars_take_ports() {
        let port =
            |number: i32| json!([{"containerPort": 1, "hostPort": number}, {"containerPort": 2}]);
        let spec = json!({
            "containers": [{"name": "a", "ports": port(1)}],
            "initContainers": [{"name": "b", "ports": port(2)}, {"name": "c", "restartPolicy": "Always", "ports": port(3)}]
        });
        let found = read(&serde_json::from_value(spec).unwrap());
        let numbers: Vec<i32> = found.iter().map(|p| p.port).collect();
        assert_eq!(numbers, [1, 3]);
        assert_eq!(found[0].address, EVERYWHERE);
    }
}
