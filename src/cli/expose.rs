//! `coracle expose`: a Service in front of what runs already.

use super::connect::ClientArgs;
use super::discovery::Discovery;
use super::manifest::FileArgs;
use super::selection::{Chosen, Wanted};
use super::write_args::{
    Speaker, Validate, WriteArgs, head, int_or_string, overridden, parse_labels, resource_of,
};
use super::{Outcome, apply};
use crate::object::access::{list, map, text};
use anyhow::Context;
use serde_json::{Value, json};

/// Longest name a Service made here takes over from what it stands before (RFC 1035).
const NAME_BYTES_MAX: usize = 63;

#[derive(Debug, clap::Args)]
pub struct ExposeArgs {
    /// `deployment web`, `pod/web`: a pod, service, deployment, replica set or replication controller.
    #[arg(value_name = "RESOURCE")]
    resources: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    /// JSON over the service.
    #[arg(long, value_name = "JSON")]
    overrides: Option<String>,
    /// Remember the object in its annotations, for a later `apply`.
    #[arg(long)]
    save_config: bool,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct ShapeArgs {
    /// The service's name; default: that of what it stands before.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The service's port; default: the ports of what it stands before.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Number or name of the container's port; default: the same.
    #[arg(long, value_name = "PORT")]
    target_port: Option<String>,
    /// TCP, UDP or SCTP; default: what the ports say, else TCP.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The pods' labels; default: those of what it stands before.
    #[arg(long, value_name = "LABELS")]
    selector: Option<String>,
    /// The service's labels; default: those of what it stands before.
    #[arg(short = 'l', long, value_name = "LABELS")]
    labels: Option<String>,
    /// An address of yours that leads to a node.
    #[arg(long, value_name = "ADDRESS")]
    external_ip: Option<String>,
    /// The load balancer's address.
    #[arg(long, value_name = "ADDRESS")]
    load_balancer_ip: Option<String>,
    /// None or `ClientIP`.
    #[arg(long, value_name = "HOW")]
    session_affinity: Option<String>,
    /// The address; None: no address, only names.
    #[arg(long, value_name = "ADDRESS")]
    cluster_ip: Option<String>,
}

pub async fn run(args: ExposeArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let wanted = Wanted {
        resources: &args.resources,
        files: &args.files,
        selector: None,
        all: false,
    };
    let mut selection = wanted.find(&session, &discovery).await?;
    let speaker = Speaker::new(&args.write);
    for chosen in std::mem::take(&mut selection.chosen) {
        let one = async {
            let mut service = service(&chosen, &args.shape)?;
            if let Some(patch) = &args.overrides {
                service = overridden(service, patch)?;
            }
            let resource = resource_of(&service)?;
            if session.namespace_explicit || !args.write.is_client() {
                service["metadata"]["namespace"] = json!(chosen.namespace);
            }
            if !args.write.is_client() {
                if args.save_config {
                    service = apply::with_last_applied(&service)?;
                }
                service = args
                    .write
                    .create(&session, &resource, &service, Validate::Ignore)
                    .await?;
            }
            speaker.say(&resource, &service, "exposed")
        };
        if let Err(cause) = one.await {
            selection.fail(&cause);
        }
    }
    Ok(selection.exit_code())
}

fn service(chosen: &Chosen, shape: &ShapeArgs) -> Result<Value, anyhow::Error> {
    let object = &chosen.object;
    anyhow::ensure!(
        matches!(
            (
                chosen.resource.group.as_str(),
                chosen.resource.kind.as_str()
            ),
            ("", "Pod" | "Service" | "ReplicationController")
                | ("apps", "Deployment" | "ReplicaSet")
        ),
        "cannot expose a {}",
        if chosen.resource.group.is_empty() {
            chosen.resource.kind.clone()
        } else {
            format!("{}.{}", chosen.resource.kind, chosen.resource.group)
        }
    );
    let selector = match &shape.selector {
        Some(text) => parse_labels(text)?,
        None => selector(&chosen.resource.kind, object)
            .context("couldn't retrieve selectors via --selector flag or introspection")?,
    };
    let mut short = chosen.name.clone();
    short.truncate(NAME_BYTES_MAX);
    let name = shape.name.as_ref().unwrap_or(&short);
    let mut service = head("v1", "Service", name);
    let labels = match &shape.labels {
        Some(text) => parse_labels(text)?,
        None => Value::Object(map(object, "/metadata/labels").clone()),
    };
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        service["metadata"]["labels"] = labels;
    }
    let mut spec = json!({"selector": selector});
    let mut ports = ports(&chosen.resource.kind, object, shape);
    anyhow::ensure!(
        !ports.is_empty() || shape.cluster_ip.as_deref() == Some("None"),
        "couldn't find port via --port flag or introspection"
    );
    if let Some(target) = &shape.target_port {
        for port in &mut ports {
            port["targetPort"] = int_or_string(target);
        }
    }
    if !ports.is_empty() {
        spec["ports"] = Value::Array(ports);
    }
    if let Some(address) = &shape.external_ip {
        spec["externalIPs"] = json!([address]);
    }
    if let Some(affinity) = &shape.session_affinity {
        anyhow::ensure!(
            matches!(affinity.as_str(), "None" | "ClientIP"),
            "unknown session affinity: {affinity}"
        );
        spec["sessionAffinity"] = json!(affinity);
    }
    for (field, value) in [("type", &shape.kind), ("clusterIP", &shape.cluster_ip)] {
        if let Some(value) = value {
            spec[field] = json!(value);
        }
    }
    if let Some(address) = &shape.load_balancer_ip {
        anyhow::ensure!(
            shape.kind.as_deref() == Some("LoadBalancer"),
            "--load-balancer-ip needs --type=LoadBalancer"
        );
        spec["loadBalancerIP"] = json!(address);
    }
    service["spec"] = spec;
    service["status"] = json!({"loadBalancer": {}});
    Ok(service)
}

/// The labels of the pods behind an object.
fn selector(kind: &str, object: &Value) -> Result<Value, anyhow::Error> {
    let (place, nothing) = match kind {
        "Pod" => (
            "/metadata/labels",
            "the pod has no labels and cannot be exposed",
        ),
        "Service" => ("/spec/selector", "the service has no pod selector set"),
        "ReplicationController" => (
            "/spec/selector",
            "the replication controller has no selector set",
        ),
        "Deployment" => (
            "/spec/selector/matchLabels",
            "invalid deployment: no selectors, therefore cannot be exposed",
        ),
        _ => (
            "/spec/selector/matchLabels",
            "invalid replicaset: no selectors, therefore cannot be exposed",
        ),
    };
    anyhow::ensure!(
        list(object, "/spec/selector/matchExpressions").is_empty(),
        "couldn't convert expressions - {} to map-based selector format",
        object["spec"]["selector"]["matchExpressions"]
    );
    let labels = map(object, place);
    anyhow::ensure!(!labels.is_empty(), "{nothing}");
    Ok(Value::Object(labels.clone()))
}

/// Ports with their protocols: a port can have several.
fn known_ports(kind: &str, object: &Value) -> Vec<(u64, Vec<String>)> {
    let containers = match kind {
        "Pod" => "/spec/containers",
        _ => "/spec/template/spec/containers",
    };
    let all: Vec<(&Value, &str)> = if kind == "Service" {
        list(object, "/spec/ports")
            .iter()
            .map(|port| (port, "/port"))
            .collect()
    } else {
        list(object, containers)
            .iter()
            .flat_map(|container| list(container, "/ports"))
            .map(|port| (port, "/containerPort"))
            .collect()
    };
    let mut found: Vec<(u64, Vec<String>)> = Vec::new();
    for (port, field) in all {
        let Some(number) = port.pointer(field).and_then(Value::as_u64) else {
            continue;
        };
        let protocol = match text(port, "/protocol") {
            "" => "TCP".to_owned(),
            protocol => protocol.to_owned(),
        };
        match found.iter_mut().find(|(known, _)| *known == number) {
            Some((_, protocols)) if protocols.contains(&protocol) => {}
            Some((_, protocols)) => protocols.push(protocol),
            None => found.push((number, vec![protocol])),
        }
    }
    found
}

fn ports(kind: &str, object: &Value, shape: &ShapeArgs) -> Vec<Value> {
    let known = known_ports(kind, object);
    let wanted: Vec<u64> = match shape.port {
        Some(port) => vec![u64::from(port)],
        None => known.iter().map(|(port, _)| *port).collect(),
    };
    let several = wanted.len() > 1;
    let mut ports = Vec::new();
    for (index, number) in wanted.into_iter().enumerate() {
        let found = known.iter().find(|(port, _)| *port == number);
        let protocols = match (&shape.protocol, found) {
            (Some(protocol), _) => vec![protocol.clone()],
            (None, Some((_, protocols))) => protocols.clone(),
            (None, None) => vec!["TCP".to_owned()],
        };
        for protocol in &protocols {
            let mut port = json!({"port": number, "protocol": protocol, "targetPort": number});
            if protocols.len() > 1 {
                port["name"] = json!(format!("port-{}-{}", index + 1, protocol.to_lowercase()));
            } else if several {
                port["name"] = json!(format!("port-{}", index + 1));
            }
            ports.push(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports_are_taken_over_with_their_protocols() {
        let pod = json!({"spec": {"containers": [{"ports": [
            {"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 80}
        ]}]}});
        let made = ports("Pod", &pod, &ShapeArgs::default());
        let names: Vec<&str> = made.iter().map(|port| text(port, "/name")).collect();
        assert_eq!(names, ["port-1-tcp", "port-1-udp", "port-2"]);
        let shape = ShapeArgs {
            port: Some(80),
            ..ShapeArgs::default()
        };
        let made = ports("Pod", &pod, &shape);
        assert_eq!(
            made,
            [json!({"port": 80, "protocol": "TCP", "targetPort": 80})]
        );
    }

    #[test]
    fn selectors() {
        let deployment = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
        assert_eq!(
            selector("Deployment", &deployment).unwrap(),
            json!({"a": "b"})
        );
        assert!(selector("Pod", &json!({})).is_err());
        let expressions =
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{}]}}});
        assert!(selector("ReplicaSet", &expressions).is_err());
    }
}
