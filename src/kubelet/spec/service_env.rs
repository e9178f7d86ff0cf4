//! Variables that tell a container of services: `FOO_SERVICE_HOST` and the older ones of Docker's links.
//! <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the variables say of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub address: IpAddr,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub number: u16,
    /// `TCP`
    pub protocol: String,
}

/// `None` for a headless service and one without ports.
pub fn told(service: &core::Service) -> Option<Service> {
    let spec = service.spec.as_ref()?;
    let address = spec.cluster_ip.as_deref()?.parse().ok()?;
    let ports: Vec<Port> = spec
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                number: u16::try_from(port.port).ok()?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_string()),
            })
        })
        .collect();
    (!ports.is_empty()).then_some(Service { address, ports })
}

/// The variables in the order of names. Each service comes with whether it is of the pod's own namespace: that one
/// hides the API's where both have its name.
pub fn variables(services: impl Iterator<Item = (bool, String, Service)>) -> Vec<(String, String)> {
    let mut chosen: BTreeMap<String, (bool, Service)> = BTreeMap::new();
    for (own, name, service) in services {
        if own || !chosen.contains_key(&name) {
            chosen.insert(name, (own, service));
        }
    }
    let mut list = Vec::new();
    for (name, (_, service)) in &chosen {
        of_service(&variable_name(name), service, &mut list);
    }
    list
}

fn of_service(name: &str, service: &Service, list: &mut Vec<(String, String)>) {
    let mut say = |variable: String, value: String| list.push((variable, value));
    let address = service.address.to_string();
    say(format!("{name}_SERVICE_HOST"), address.clone());
    for (index, port) in service.ports.iter().enumerate() {
        if index == 0 {
            say(format!("{name}_SERVICE_PORT"), port.number.to_string());
        }
        if !port.name.is_empty() {
            let port_name = variable_name(&port.name);
            let variable = format!("{name}_SERVICE_PORT_{port_name}");
            say(variable, port.number.to_string());
        }
    }
    for (index, port) in service.ports.iter().enumerate() {
        let protocol = port.protocol.to_lowercase();
        let place = match service.address {
            IpAddr::V4(_) => format!("{protocol}://{address}:{}", port.number),
            IpAddr::V6(_) => format!("{protocol}://[{address}]:{}", port.number),
        };
        if index == 0 {
            say(format!("{name}_PORT"), place.clone());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.number, port.protocol);
        say(prefix.clone(), place);
        say(format!("{prefix}_PROTO"), protocol);
        say(format!("{prefix}_PORT"), port.number.to_string());
        say(format!("{prefix}_ADDR"), address.clone());
    }
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_as_upstream() {
        let service: core::Service =
            serde_json::from_value(json!({"spec": {"clusterIP": "10.43.0.9", "ports": [
            {"port": 80, "name": "the-web"}, {"port": 53, "protocol": "UDP", "name": "dns"}]}}))
            .unwrap();
        let service = told(&service).unwrap();
        let list = variables([(true, "my-shop".to_string(), service)].into_iter());
        let text: Vec<String> = list.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            text,
            [
                "MY_SHOP_SERVICE_HOST=10.43.0.9",
                "MY_SHOP_SERVICE_PORT=80",
                "MY_SHOP_SERVICE_PORT_THE_WEB=80",
                "MY_SHOP_SERVICE_PORT_DNS=53",
                "MY_SHOP_PORT=tcp://10.43.0.9:80",
                "MY_SHOP_PORT_80_TCP=tcp://10.43.0.9:80",
                "MY_SHOP_PORT_80_TCP_PROTO=tcp",
                "MY_SHOP_PORT_80_TCP_PORT=80",
                "MY_SHOP_PORT_80_TCP_ADDR=10.43.0.9",
                "MY_SHOP_PORT_53_UDP=udp://10.43.0.9:53",
                "MY_SHOP_PORT_53_UDP_PROTO=udp",
                "MY_SHOP_PORT_53_UDP_PORT=53",
                "MY_SHOP_PORT_53_UDP_ADDR=10.43.0.9",
            ]
        );
    }

    #[test]
    fn headless_ones_are_silent_and_own_ones_win() {
        for spec in [
            json!({"clusterIP": "None", "ports": [{"port": 1}]}),
            json!({"ports": [{"port": 1}]}),
            json!({"clusterIP": "10.43.0.9"}),
        ] {
            let service: core::Service = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(told(&service), None);
        }
        let at = |last: u8| Service {
            address: IpAddr::from([10, 43, 0, last]),
            ports: vec![Port {
                name: String::new(),
                number: 1,
                protocol: "TCP".to_string(),
            }],
        };
        let name = || "kubernetes".to_string();
        for list in [
            [(false, name(), at(1)), (true, name(), at(2))],
            [(true, name(), at(2)), (false, name(), at(1))],
        ] {
            assert_eq!(variables(list.into_iter())[0].1, "10.43.0.2");
        }
    }
}
