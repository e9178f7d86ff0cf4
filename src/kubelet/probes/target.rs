//! What a probe asks, read from its spec once per run of a container.

use super::url::{Url, request_target};
use crate::kubelet::spec::env::expand;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Exec {
        command: Vec<String>,
    },
    Http {
        url: Url,
        /// As written, in order.
        headers: Vec<(String, String)>,
    },
    Tcp {
        host: String,
        port: u16,
    },
    Grpc {
        host: String,
        port: u16,
        service: String,
    },
}

impl Target {
    /// The error is what upstream says of a probe that cannot be carried out as it is written.
    pub fn of(probe: &Probe, container: &Container, pod_ip: &str) -> Result<Target, String> {
        if let Some(exec) = &probe.exec {
            let variables = static_variables(container);
            let command = exec.command.iter().flatten();
            return Ok(Target::Exec {
                command: command.map(|word| expand(word, &variables)).collect(),
            });
        }
        if let Some(get) = &probe.http_get {
            return http_get(get, container, or(get.host.as_deref(), pod_ip));
        }
        if let Some(tcp) = &probe.tcp_socket {
            return Ok(Target::Tcp {
                host: or(tcp.host.as_deref(), pod_ip).to_string(),
                port: port(&tcp.port, container)?,
            });
        }
        if let Some(grpc) = &probe.grpc {
            return Ok(Target::Grpc {
                host: pod_ip.to_string(),
                port: number(i64::from(grpc.port))?,
                service: grpc.service.clone().unwrap_or_default(),
            });
        }
        Err(format!(
            "missing probe handler for container {}",
            container.name
        ))
    }
}

/// The host that is named, or the pod.
pub fn or<'a>(host: Option<&'a str>, pod_ip: &'a str) -> &'a str {
    host.filter(|h| !h.is_empty()).unwrap_or(pod_ip)
}

/// The request of a probe or a hook to `host`.
pub fn http_get(get: &HTTPGetAction, container: &Container, host: &str) -> Result<Target, String> {
    let is_https = get
        .scheme
        .as_deref()
        .is_some_and(|s| s.eq_ignore_ascii_case("HTTPS"));
    let headers = get.http_headers.iter().flatten();
    Ok(Target::Http {
        url: Url {
            is_https,
            host: host.to_string(),
            port: port(&get.port, container)?,
            target: request_target(get.path.as_deref().unwrap_or("/")),
        },
        headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
    })
}

/// A probe's command knows the variables written out in the spec and no others; one with a source is empty here.
fn static_variables(container: &Container) -> BTreeMap<String, String> {
    let list = container.env.iter().flatten();
    list.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()))
        .collect()
}

/// A number, the name of one of the container's ports, or a number written as text.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    match port {
        IntOrString::Int(value) => number(i64::from(*value)),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let named = ports
                .filter(|p| p.name.as_ref() == Some(name))
                .map(|p| i64::from(p.container_port))
                .next();
            match named.or_else(|| name.parse().ok()) {
                Some(value) => number(value),
                None => Err(format!("strconv.Atoi: parsing {name:?}: invalid syntax")),
            }
        }
    }
}

fn number(value: i64) -> Result<u16, String> {
    u16::try_from(value)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {value}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn target(probe: serde_json::Value) -> Result<Target, String> {
        let container = json!({
            "name": "a",
            "ports": [{"name": "web", "containerPort": 8080}],
            "env": [{"name": "WHO", "value": "me"}, {"name": "FROM", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        });
        Target::of(
            &serde_json::from_value(probe).unwrap(),
            &serde_json::from_value(container).unwrap(),
            "10.42.0.9",
        )
    }

    #[test]
    fn ports() {
        for (port, expected) in [
            (json!(80), Ok(80)),
            (json!("web"), Ok(8080)),
            (json!("81"), Ok(81)),
            (
                json!("other"),
                Err("strconv.Atoi: parsing \"other\": invalid syntax"),
            ),
            (json!("0"), Err("invalid port number: 0")),
            (json!(70000), Err("invalid port number: 70000")),
        ] {
            let found = target(json!({"tcpSocket": {"port": port}}));
            match expected {
                Ok(port) => assert_eq!(
                    found,
                    Ok(Target::Tcp {
                        host: "10.42.0.9".into(),
                        port
                    })
                ),
                Err(text) => assert_eq!(found, Err(text.to_string())),
            }
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(
            target(json!({"exec": {"command": ["echo", "$(WHO)-$(FROM)-$(NONE)"]}})),
            Ok(Target::Exec {
                command: vec!["echo".into(), "me--$(NONE)".into()]
            })
        );
        assert_eq!(
            target(json!({"grpc": {"port": 5, "service": "s"}})),
            Ok(Target::Grpc {
                host: "10.42.0.9".into(),
                port: 5,
                service: "s".into()
            })
        );
        let Ok(Target::Http { url, headers }) = target(json!({"httpGet": {
            "port": "web", "scheme": "HTTPS", "host": "example.org", "path": "health?deep=1",
            "httpHeaders": [{"name": "X-A", "value": "1"}],
        }})) else {
            panic!("no HTTP target");
        };
        assert_eq!(url.to_string(), "https://example.org:8080/health?deep=1");
        assert_eq!(headers, [("X-A".to_string(), "1".to_string())]);
        assert!(target(json!({})).is_err());
    }
}
