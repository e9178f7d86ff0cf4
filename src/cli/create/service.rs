//! `create service clusterip|nodeport|loadbalancer|externalname`.

use super::{Common, Generate, Known};
use crate::cli::write_args::head;
use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct ServiceArgs {
    #[command(subcommand)]
    kind: ServiceKind,
}

#[derive(Debug, Subcommand)]
enum ServiceKind {
    /// An address inside the cluster.
    Clusterip {
        #[command(flatten)]
        basic: Basic,
        /// The address; None: no address, only names.
        #[arg(long, value_name = "ADDRESS", default_value = "")]
        clusterip: String,
    },
    /// A port on every node.
    Nodeport {
        #[command(flatten)]
        basic: Basic,
        /// The port; 0: one that is free.
        #[arg(long, value_name = "PORT", default_value_t = 0)]
        node_port: u16,
    },
    /// An address outside of the cluster.
    Loadbalancer {
        #[command(flatten)]
        basic: Basic,
    },
    /// A name for a host elsewhere.
    Externalname {
        #[command(flatten)]
        basic: Basic,
        /// The host's name.
        #[arg(long, value_name = "HOST")]
        external_name: String,
    },
}

#[derive(Debug, clap::Args)]
struct Basic {
    #[arg(value_name = "NAME")]
    name: String,
    /// `port` or `port:targetPort`; may be repeated.
    #[arg(long, value_name = "PORT[:TARGET]", value_delimiter = ',')]
    tcp: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl ServiceArgs {
    fn basic(&self) -> &Basic {
        match &self.kind {
            ServiceKind::Clusterip { basic, .. }
            | ServiceKind::Nodeport { basic, .. }
            | ServiceKind::Loadbalancer { basic }
            | ServiceKind::Externalname { basic, .. } => basic,
        }
    }

    fn kind(&self) -> &'static str {
        match &self.kind {
            ServiceKind::Clusterip { .. } => "ClusterIP",
            ServiceKind::Nodeport { .. } => "NodePort",
            ServiceKind::Loadbalancer { .. } => "LoadBalancer",
            ServiceKind::Externalname { .. } => "ExternalName",
        }
    }
}

impl Generate for ServiceArgs {
    fn common(&self) -> &Common {
        &self.basic().common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let basic = self.basic();
        let labels = json!({"app": basic.name});
        let mut spec = json!({"selector": labels, "type": self.kind()});
        let mut ports = basic
            .tcp
            .iter()
            .map(|text| port(text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut portless = false;
        match &self.kind {
            ServiceKind::Clusterip { clusterip, .. } => {
                portless = clusterip == "None";
                anyhow::ensure!(
                    !portless || ports.is_empty(),
                    "can not map ports with clusterip=None"
                );
                if !clusterip.is_empty() {
                    spec["clusterIP"] = json!(clusterip);
                }
            }
            ServiceKind::Nodeport { node_port, .. } if *node_port > 0 => {
                for port in &mut ports {
                    port["nodePort"] = json!(node_port);
                }
            }
            ServiceKind::Nodeport { .. } | ServiceKind::Loadbalancer { .. } => {}
            ServiceKind::Externalname { external_name, .. } => {
                portless = true;
                spec["externalName"] = json!(external_name);
            }
        }
        anyhow::ensure!(
            portless || !ports.is_empty(),
            "at least one tcp port specifier must be provided"
        );
        if !ports.is_empty() {
            spec["ports"] = Value::Array(ports);
        }
        let mut object = head("v1", "Service", &basic.name);
        object["metadata"]["labels"] = labels;
        object["spec"] = spec;
        object["status"] = json!({"loadBalancer": {}});
        Ok(object)
    }
    fn refusal(&self) -> String {
        format!("failed to create {} service:", self.kind())
    }
}

/// `80`, `80:8080` or `80:http`; named after itself.
fn port(text: &str) -> Result<Value, anyhow::Error> {
    let (port, target) = text.split_once(':').unwrap_or((text, text));
    let number: u16 = port
        .parse()
        .with_context(|| format!("{text:?}: {port:?} is no port from 0 to 65535"))?;
    let target = if let Ok(number) = target.parse::<i64>() {
        anyhow::ensure!(
            (1..=65535).contains(&number) || !text.contains(':'),
            "{text:?}: must be between 1 and 65535, inclusive"
        );
        json!(number)
    } else {
        anyhow::ensure!(
            is_port_name(target),
            "{text:?}: {target:?} is no port name: at most 15 small letters, digits and single '-' between them"
        );
        json!(target)
    };
    Ok(json!({
        "name": text.replace(':', "-"), "port": number, "protocol": "TCP", "targetPort": target,
    }))
}

/// RFC 6335, section 5.1.
fn is_port_name(text: &str) -> bool {
    let fits = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
    };
    (1..=15).contains(&text.len())
        && text.chars().all(fits)
        && text.contains(|character: char| character.is_ascii_lowercase())
        && !text.contains("--")
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(
            port("80:http").unwrap(),
            json!({"name": "80-http", "port": 80, "protocol": "TCP", "targetPort": "http"})
        );
        assert_eq!(port("80").unwrap()["targetPort"], 80);
        for wrong in [
            "", "x", "80:", "80:0", "80:A", "80:1:2", "70000", "80:70000",
        ] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
