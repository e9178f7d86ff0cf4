//! Probes and readiness gates: what Kubernetes fills in, and what it refuses (upstream's `SetDefaults_Probe`,
//! `validateProbe`, `validateReadinessGates`).

use super::containers::check_port_name;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::api::kinds::status::default_to;
use crate::object::access::{list, present, text};
use crate::object::names;
use serde_json::Value;

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
/// What a probe can do, in upstream's order.
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
/// Counts and their defaults; 0 stands for the default, as upstream has it.
const COUNTS: [(&str, i64); 4] = [
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
];

/// Fills in a container's probes.
pub fn defaults(container: &mut Value) {
    for name in PROBES {
        let Some(probe) = container.get_mut(name).filter(|p| p.is_object()) else {
            continue;
        };
        for (field, default) in COUNTS {
            if probe[field].is_null() || probe[field] == 0 {
                probe[field] = default.into();
            }
        }
        if let Some(get) = probe.get_mut("httpGet").filter(|g| g.is_object()) {
            for (field, default) in [("path", "/"), ("scheme", "HTTP")] {
                if text(get, &format!("/{field}")).is_empty() {
                    get[field] = default.into();
                }
            }
        }
        if let Some(grpc) = probe.get_mut("grpc").filter(|g| g.is_object()) {
            default_to(grpc, "service", "");
        }
    }
}

/// A container's probes; `keeps_running` is false for an init container that is to end.
pub fn validate(container: &Value, at: &str, keeps_running: bool, errors: &mut Errors) {
    for name in PROBES {
        let probe = &container[name];
        if probe.is_null() {
            continue;
        }
        let at = format!("{at}.{name}");
        if !keeps_running {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(at, detail));
            continue;
        }
        validate_probe(probe, &at, errors);
        if name == "readinessProbe" {
            let grace = &probe["terminationGracePeriodSeconds"];
            if !grace.is_null() {
                errors.push(FieldError::invalid(
                    format!("{at}.terminationGracePeriodSeconds"),
                    grace,
                    "must not be set for readinessProbes",
                ));
            }
        } else if probe["successThreshold"] != 1 {
            let field = format!("{at}.successThreshold");
            errors.push(FieldError::invalid(
                field,
                &probe["successThreshold"],
                "must be 1",
            ));
        }
    }
}

fn validate_probe(probe: &Value, at: &str, errors: &mut Errors) {
    let mut handlers = HANDLERS.iter().filter(|h| present(probe, &format!("/{h}")));
    if let Some(handler) = handlers.next() {
        validate_handler(handler, &probe[handler], &format!("{at}.{handler}"), errors);
    } else {
        errors.push(FieldError::required(at, "must specify a handler type"));
    }
    for handler in handlers {
        let detail = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(format!("{at}.{handler}"), detail));
    }
    for field in COUNTS
        .iter()
        .map(|(field, _)| *field)
        .chain(["initialDelaySeconds"])
    {
        if !probe[field].is_null() {
            errors.range(format!("{at}.{field}"), &probe[field], 0..=i64::MAX);
        }
    }
    let grace = &probe["terminationGracePeriodSeconds"];
    if !grace.is_null() && grace.as_i64().unwrap_or_default() <= 0 {
        let field = format!("{at}.terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(field, grace, "must be greater than 0"));
    }
}

/// One of [`HANDLERS`].
fn validate_handler(name: &str, handler: &Value, at: &str, errors: &mut Errors) {
    match name {
        "exec" => {
            if list(handler, "/command").is_empty() {
                errors.push(FieldError::required(format!("{at}.command"), ""));
            }
        }
        "httpGet" => {
            if text(handler, "/path").is_empty() {
                errors.push(FieldError::required(format!("{at}.path"), ""));
            }
            port(&handler["port"], &format!("{at}.port"), errors);
            errors.one_of(
                format!("{at}.scheme"),
                text(handler, "/scheme"),
                &["HTTP", "HTTPS"],
            );
            for header in list(handler, "/httpHeaders") {
                let name = text(header, "/name");
                errors.rule(format!("{at}.httpHeaders"), name, check_header_name);
            }
        }
        _ => port(&handler["port"], &format!("{at}.port"), errors),
    }
}

/// Upstream's `ValidatePortNumOrName`.
fn port(port: &Value, at: &str, errors: &mut Errors) {
    match port {
        Value::String(name) => {
            if let Err(detail) = check_port_name(name) {
                errors.push(FieldError::invalid(at, port, detail));
            }
        }
        // One that is left out is 0.
        Value::Null => errors.range(at, &0.into(), 1..=65535),
        number => errors.range(at, number, 1..=65535),
    }
}

fn check_header_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(());
    }
    Err("a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')".to_string())
}

/// `spec.readinessGates`.
pub fn validate_gates(pod: &Value, errors: &mut Errors) {
    for (index, gate) in list(pod, "/spec/readinessGates").iter().enumerate() {
        let kind = text(gate, "/conditionType");
        let field = format!("spec.readinessGates[{index}].conditionType");
        errors.rule(field, kind, names::check_qualified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fills_in() {
        let mut container = json!({
            "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0},
            "startupProbe": {"grpc": {"port": 80}, "failureThreshold": 30},
            "readinessProbe": "junk",
        });
        defaults(&mut container);
        assert_eq!(
            container["livenessProbe"],
            json!({
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
            })
        );
        assert_eq!(container["startupProbe"]["grpc"]["service"], "");
        assert_eq!(container["startupProbe"]["failureThreshold"], 30);
        let once = container.clone();
        defaults(&mut container);
        assert_eq!(once, container);
    }

    #[test]
    fn refuses() {
        let tcp = json!({"tcpSocket": {"port": 80}});
        for (name, change, expected) in [
            ("livenessProbe", json!({}), ""),
            ("livenessProbe", json!({"tcpSocket": {"port": "web"}}), ""),
            (
                "livenessProbe",
                json!({"tcpSocket": null}),
                "livenessProbe Required value: must specify a handler type",
            ),
            (
                "livenessProbe",
                json!({"exec": {"command": ["x"]}}),
                "livenessProbe.tcpSocket Forbidden: may not specify more than 1 handler type",
            ),
            (
                "livenessProbe",
                json!({"tcpSocket": null, "exec": {"command": []}}),
                "livenessProbe.exec.command Required value",
            ),
            (
                "startupProbe",
                json!({"tcpSocket": {"port": 0}}),
                "startupProbe.tcpSocket.port Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                "startupProbe",
                json!({"tcpSocket": null, "grpc": {}}),
                "startupProbe.grpc.port Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                "startupProbe",
                json!({"tcpSocket": {"port": "Web"}}),
                "startupProbe.tcpSocket.port Invalid value: \"Web\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            ),
            (
                "livenessProbe",
                json!({"successThreshold": 2}),
                "livenessProbe.successThreshold Invalid value: 2: must be 1",
            ),
            ("readinessProbe", json!({"successThreshold": 2}), ""),
            (
                "readinessProbe",
                json!({"terminationGracePeriodSeconds": 2}),
                "readinessProbe.terminationGracePeriodSeconds Invalid value: 2: must not be set for readinessProbes",
            ),
            (
                "livenessProbe",
                json!({"terminationGracePeriodSeconds": 0}),
                "livenessProbe.terminationGracePeriodSeconds Invalid value: 0: must be greater than 0",
            ),
            (
                "livenessProbe",
                json!({"periodSeconds": -1}),
                "livenessProbe.periodSeconds Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "livenessProbe",
                json!({"tcpSocket": null, "httpGet": {"port": 1, "scheme": "FTP", "httpHeaders": [{"name": "X-A"}]}}),
                "livenessProbe.httpGet.scheme Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
            ),
        ] {
            let mut probe = tcp.clone();
            json_patch::merge(&mut probe, &change);
            let mut container = json!({name: probe});
            defaults(&mut container);
            let mut errors = Errors::default();
            validate(&container, "c", true, &mut errors);
            let found: Vec<String> = errors
                .list
                .iter()
                .map(|e| format!("{} {}", e.field.trim_start_matches("c."), e.message))
                .collect();
            assert_eq!(found.join("; "), expected, "{name} {change}");
        }
        let mut errors = Errors::default();
        validate(&json!({"livenessProbe": tcp}), "c", false, &mut errors);
        assert_eq!(errors.list[0].reason, "FieldValueForbidden");
        assert!(check_header_name("X Y").is_err() && check_header_name("").is_err());
    }

    #[test]
    fn gates() {
        let mut errors = Errors::default();
        let pod = json!({"spec": {"readinessGates": [{"conditionType": "example.com/ok"}, {"conditionType": "a b"}, {}]}});
        validate_gates(&pod, &mut errors);
        let fields: Vec<&str> = errors.list.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.readinessGates[1].conditionType",
                "spec.readinessGates[2].conditionType"
            ]
        );
    }
}
