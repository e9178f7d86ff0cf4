//! The Pod and the Service that `run` sends. Pure.

use crate::cli::write_args::head;
use anyhow::Context;
use serde_json::{Map, Value, json};

/// What the pod shall be.
#[derive(Debug)]
pub struct Plan<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub labels: &'a Value,
    pub annotations: Map<String, Value>,
    pub env: Vec<Value>,
    pub port: Option<u16>,
    pub words: &'a [&'a String],
    pub words_are_command: bool,
    pub restart: String,
    pub pull: Option<String>,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    pub privileged: bool,
}

pub fn pod(plan: Plan) -> Value {
    let mut container = json!({"name": plan.name, "image": plan.image, "resources": {}});
    if !plan.env.is_empty() {
        container["env"] = Value::Array(plan.env);
    }
    if let Some(port) = plan.port {
        container["ports"] = json!([{"containerPort": port}]);
    }
    if !plan.words.is_empty() {
        let field = if plan.words_are_command {
            "command"
        } else {
            "args"
        };
        container[field] = json!(plan.words);
    }
    if let Some(pull) = plan.pull {
        container["imagePullPolicy"] = json!(pull);
    }
    for (field, set) in [
        ("stdin", plan.stdin),
        ("stdinOnce", plan.stdin_once),
        ("tty", plan.tty),
    ] {
        if set {
            container[field] = json!(true);
        }
    }
    if plan.privileged {
        container["securityContext"] = json!({"privileged": true});
    }
    let mut pod = head("v1", "Pod", plan.name);
    pod["metadata"]["labels"] = plan.labels.clone();
    if !plan.annotations.is_empty() {
        pod["metadata"]["annotations"] = Value::Object(plan.annotations);
    }
    pod["spec"] = json!({
        "containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": plan.restart,
    });
    pod["status"] = json!({});
    pod
}

/// Its labels are those the user gave; its selector those the pod has.
pub fn service(name: &str, own_labels: Option<&Value>, labels: &Value, port: u16) -> Value {
    let mut service = head("v1", "Service", name);
    if let Some(own) = own_labels {
        service["metadata"]["labels"] = own.clone();
    }
    service["spec"] = json!({
        "ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": labels,
    });
    service["status"] = json!({"loadBalancer": {}});
    service
}

/// `KEY=value`
pub fn env(pair: &str) -> Result<Value, anyhow::Error> {
    let (name, value) = pair
        .split_once('=')
        .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
        .with_context(|| format!("invalid env: {pair}"))?;
    Ok(if value.is_empty() {
        json!({"name": name})
    } else {
        json!({"name": name, "value": value})
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn variables() {
        assert_eq!(env("A=b=c").unwrap(), json!({"name": "A", "value": "b=c"}));
        assert_eq!(env("A=").unwrap(), json!({"name": "A"}));
        assert!(env("A").is_err());
        assert!(env("=b").is_err());
    }
}
