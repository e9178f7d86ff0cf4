//! The pairs of ports on the command line. Pure.

use anyhow::Context;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// 0: any free one.
    pub local: u16,
    pub remote: u16,
}

/// `[LOCAL:]REMOTE`; with a service its ports lead to the pod's.
pub fn parse(text: &str, service: Option<&Value>, pod: &Value) -> Result<Pair, anyhow::Error> {
    let (local, remote) = match text.split_once(':') {
        Some((local, remote)) => (Some(local), remote),
        None => (None, text),
    };
    let asked = match service {
        Some(service) => service_port(remote, service)?,
        None => named(remote, pod)?,
    };
    let remote = match service {
        Some(service) => target_port(asked, service, pod)?,
        None => asked,
    };
    let local = match local {
        None => asked,
        Some("") => 0,
        Some(local) => local
            .parse()
            .with_context(|| format!("invalid local port {local:?} in {text:?}"))?,
    };
    Ok(Pair { local, remote })
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// A number, or the name of a container's port.
fn named(text: &str, pod: &Value) -> Result<u16, anyhow::Error> {
    if let Some(port) = number(text) {
        return Ok(port);
    }
    ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .find(|port| port["name"] == text)
        .and_then(|port| u16::try_from(port["containerPort"].as_u64()?).ok())
        .with_context(|| format!("the pod has no port {text:?}"))
}

fn ports_of(service: &Value) -> impl Iterator<Item = &Value> {
    service["spec"]["ports"].as_array().into_iter().flatten()
}

fn service_port(text: &str, service: &Value) -> Result<u16, anyhow::Error> {
    ports_of(service)
        .filter_map(|port| {
            Some((
                port["name"].as_str(),
                u16::try_from(port["port"].as_u64()?).ok()?,
            ))
        })
        .find(|(name, port)| number(text) == Some(*port) || *name == Some(text))
        .map(|(_, port)| port)
        .with_context(|| format!("the service has no port {text:?}"))
}

fn target_port(asked: u16, service: &Value, pod: &Value) -> Result<u16, anyhow::Error> {
    let port = ports_of(service).find(|port| port["port"] == asked);
    let target = port.map_or(&Value::Null, |port| &port["targetPort"]);
    // A headless service has no ports of its own: what is asked is the pod's.
    if service["spec"]["clusterIP"] == "None" && target.is_null() {
        return Ok(asked);
    }
    match target {
        Value::String(name) => named(name, pod),
        Value::Number(number) => number
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .map_or(Ok(asked), Ok),
        _ => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pairs_are_kubectls() {
        let pod =
            json!({"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]}});
        let service = json!({"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"port": 443, "targetPort": 8443}]}});
        let pair = |local, remote| Some(Pair { local, remote });
        for (text, service, expected) in [
            ("80", None, pair(80, 80)),
            ("8080:80", None, pair(8080, 80)),
            (":80", None, pair(0, 80)),
            ("web", None, pair(8080, 8080)),
            ("1:web", None, pair(1, 8080)),
            ("80", Some(&service), pair(80, 8080)),
            ("9:http", Some(&service), pair(9, 8080)),
            ("443", Some(&service), pair(443, 8443)),
            ("81", Some(&service), None),
            ("0", None, None),
            ("x:80", None, None),
            ("70000", None, None),
        ] {
            assert_eq!(parse(text, service, &pod).ok(), expected, "{text}");
        }
    }
}
