//! Validation of a pod's own fields, as upstream's `ValidatePodSpec` for the fields that exist here.

use super::{containers, ephemeral, lifecycle, probes, scheduling, security, volumes};
use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, metadata};
use crate::object::access::{list, map, present, text, truth};
use crate::object::names;
use serde_json::Value;

/// Linux' `HOST_NAME_MAX`.
const HOSTNAME_BYTES_MAX: usize = 64;
/// Upstream's `MaxDNSNameservers`: glibc reads three.
const NAMESERVERS_MAX: usize = 3;
/// Upstream's `MaxDNSSearchPaths`.
const SEARCHES_MAX: usize = 32;

pub fn validate(pod: &Value) -> Vec<FieldError> {
    let mut errors = Errors {
        list: metadata::validate(pod, names::check_subdomain),
    };
    let volume_names = volumes::validate(pod, &mut errors);
    containers::validate(pod, &volume_names, &mut errors);
    probes::validate_gates(pod, &mut errors);

    errors.one_of(
        "spec.restartPolicy",
        text(pod, "/spec/restartPolicy"),
        &["Always", "Never", "OnFailure"],
    );
    if present(pod, "/spec/terminationGracePeriodSeconds") {
        let grace = &pod["spec"]["terminationGracePeriodSeconds"];
        errors.range("spec.terminationGracePeriodSeconds", grace, 0..=i64::MAX);
    }
    for (field, rule) in [
        (
            "nodeName",
            names::check_subdomain as fn(&str) -> Result<(), String>,
        ),
        ("serviceAccountName", names::check_subdomain),
        ("schedulerName", names::check_subdomain),
        ("hostname", names::check_label),
        ("subdomain", names::check_label),
        ("hostnameOverride", names::check_subdomain),
    ] {
        let value = text(pod, &format!("/spec/{field}"));
        if !value.is_empty() {
            errors.rule(format!("spec.{field}"), value, rule);
        }
    }
    for (key, value) in map(pod, "/spec/nodeSelector") {
        errors.rule("spec.nodeSelector", key, names::check_qualified);
        errors.rule(
            "spec.nodeSelector",
            value.as_str().unwrap_or_default(),
            names::check_label_value,
        );
    }
    for (index, secret) in list(pod, "/spec/imagePullSecrets").iter().enumerate() {
        if text(secret, "/name").is_empty() {
            errors.push(FieldError::required(
                format!("spec.imagePullSecrets[{index}].name"),
                "",
            ));
        }
    }
    lifecycle::validate(pod, &mut errors);
    ephemeral::validate(pod, &volume_names, &mut errors);
    dns(pod, &mut errors);
    tolerations(pod, &mut errors);
    scheduling::validate(pod, &mut errors);
    security::validate(pod, &mut errors);
    identity(pod, &mut errors);
    errors.list
}

/// Upstream's `validateHostnameOverride` and `ValidateHostAliases`.
fn identity(pod: &Value, errors: &mut Errors) {
    let name = text(pod, "/spec/hostnameOverride");
    if !name.is_empty() {
        let at = "spec.hostnameOverride";
        if name.len() > HOSTNAME_BYTES_MAX {
            let detail = format!("must be no more than {HOSTNAME_BYTES_MAX} characters");
            errors.push(FieldError::invalid(at, &name.into(), detail));
        }
        for (field, shown) in [
            ("/spec/setHostnameAsFQDN", "setHostnameAsFQDN"),
            ("/spec/hostNetwork", "hostNetwork"),
        ] {
            if truth(pod, field) {
                let detail = format!("may not be set when `{shown}` is true");
                errors.push(FieldError::invalid(at, &name.into(), detail));
            }
        }
    }
    for (index, alias) in list(pod, "/spec/hostAliases").iter().enumerate() {
        let at = format!("spec.hostAliases[{index}]");
        if text(alias, "/ip").parse::<std::net::IpAddr>().is_err() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(
                format!("{at}.ip"),
                &alias["ip"],
                detail,
            ));
        }
        for (number, name) in list(alias, "/hostnames").iter().enumerate() {
            errors.rule(
                format!("{at}.hostnames[{number}]"),
                name.as_str().unwrap_or_default(),
                names::check_subdomain,
            );
        }
    }
}

fn dns(pod: &Value, errors: &mut Errors) {
    let policy = text(pod, "/spec/dnsPolicy");
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    errors.one_of("spec.dnsPolicy", policy, &policies);
    let servers = list(pod, "/spec/dnsConfig/nameservers");
    if policy == "None" && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required("spec.dnsConfig.nameservers", detail));
    }
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(
            "spec.dnsConfig.nameservers",
            &servers.into(),
            detail,
        ));
    }
    for (index, server) in servers.iter().enumerate() {
        if server
            .as_str()
            .unwrap_or_default()
            .parse::<std::net::IpAddr>()
            .is_err()
        {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(
                format!("spec.dnsConfig.nameservers[{index}]"),
                server,
                detail,
            ));
        }
    }
    let searches = list(pod, "/spec/dnsConfig/searches");
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(
            "spec.dnsConfig.searches",
            &searches.into(),
            detail,
        ));
    }
    for (index, search) in searches.iter().enumerate() {
        let name = search.as_str().unwrap_or_default().trim_end_matches('.');
        errors.rule(
            format!("spec.dnsConfig.searches[{index}]"),
            name,
            names::check_subdomain,
        );
    }
    for (index, option) in list(pod, "/spec/dnsConfig/options").iter().enumerate() {
        if text(option, "/name").is_empty() {
            errors.push(FieldError::required(
                format!("spec.dnsConfig.options[{index}]"),
                "must not be empty",
            ));
        }
    }
}

fn tolerations(pod: &Value, errors: &mut Errors) {
    for (index, toleration) in list(pod, "/spec/tolerations").iter().enumerate() {
        let at = format!("spec.tolerations[{index}]");
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        let operator = text(toleration, "/operator");
        if key.is_empty() {
            if operator != "Exists" {
                let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
                errors.push(FieldError::invalid(
                    format!("{at}.operator"),
                    &operator.into(),
                    detail,
                ));
            }
        } else {
            errors.rule(format!("{at}.key"), key, names::check_qualified);
        }
        match operator {
            "" | "Equal" => errors.rule(
                format!("{at}.operator"),
                text(toleration, "/value"),
                names::check_label_value,
            ),
            "Exists" => {
                if !text(toleration, "/value").is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    errors.push(FieldError::invalid(
                        format!("{at}.operator"),
                        &toleration["value"],
                        detail,
                    ));
                }
            }
            other => errors.one_of(format!("{at}.operator"), other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.one_of(format!("{at}.effect"), effect, &effects);
        }
        if present(toleration, "/tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(
                format!("{at}.effect"),
                &effect.into(),
                detail,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kinds::pod::defaults;
    use serde_json::json;

    #[test]
    fn fields() {
        for (change, want) in [
            (json!({}), ""),
            (json!({"metadata": {"name": "A"}}), "metadata.name"),
            (
                json!({"spec": {"restartPolicy": "Sometimes"}}),
                "spec.restartPolicy",
            ),
            (
                json!({"spec": {"dnsPolicy": "None"}}),
                "spec.dnsConfig.nameservers",
            ),
            (
                json!({"spec": {"dnsConfig": {"nameservers": ["x"]}}}),
                "spec.dnsConfig.nameservers[0]",
            ),
            (json!({"spec": {"nodeName": "a_b"}}), "spec.nodeName"),
            (json!({"spec": {"hostname": "a.b"}}), "spec.hostname"),
            (
                json!({"spec": {"terminationGracePeriodSeconds": -1}}),
                "spec.terminationGracePeriodSeconds",
            ),
            (
                json!({"spec": {"tolerations": [{"value": "x"}]}}),
                "spec.tolerations[0].operator",
            ),
            (
                json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
                "",
            ),
            (
                json!({"spec": {"securityContext": {"runAsUser": -1}}}),
                "spec.securityContext.runAsUser",
            ),
            (
                json!({"spec": {"nodeSelector": {"a b": "c"}}}),
                "spec.nodeSelector",
            ),
            (
                json!({"spec": {"imagePullSecrets": [{}]}}),
                "spec.imagePullSecrets[0].name",
            ),
            (
                json!({"spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b.c"]}, {"ip": "x", "hostnames": ["A"]}]}}),
                "spec.hostAliases[1].ip spec.hostAliases[1].hostnames[0]",
            ),
            (json!({"spec": {"subdomain": "a.b"}}), "spec.subdomain"),
            (
                json!({"spec": {"hostnameOverride": "a.b", "setHostnameAsFQDN": true}}),
                "spec.hostnameOverride",
            ),
            (json!({"spec": {"hostnameOverride": "a.b"}}), ""),
            (json!({"spec": {"containers": []}}), "spec.containers"),
        ] {
            let mut pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
            json_patch::merge(&mut pod, &change);
            defaults::apply(&mut pod);
            let found: Vec<String> = validate(&pod).into_iter().map(|e| e.field).collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }
}
