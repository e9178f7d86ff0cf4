//! Validation of what a pod's life follows: hooks, restart rules, deadlines.

use super::MIRROR;
use super::containers::check_port_name;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{list, present, text};
use serde_json::Value;

/// Upstream's limit of rules per container.
const RULES_MAX: usize = 20;
/// Upstream's limit of codes per rule.
const CODES_MAX: usize = 255;
const SECONDS_DEFAULT: i64 = super::GRACE_PERIOD_SECONDS;

/// Upstream's `supportedStopSignalsLinux`, real-time signals apart.
const SIGNALS: [&str; 34] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

pub fn validate(pod: &Value, errors: &mut Errors) {
    if present(pod, "/spec/activeDeadlineSeconds") {
        let deadline = &pod["spec"]["activeDeadlineSeconds"];
        errors.range(
            "spec.activeDeadlineSeconds",
            deadline,
            1..=i64::from(i32::MAX),
        );
    }
    if present(&pod["metadata"]["annotations"], &pointer(MIRROR))
        && text(pod, "/spec/nodeName").is_empty()
    {
        errors.push(FieldError::invalid(
            format!("metadata.annotations[{MIRROR}]"),
            &pod["metadata"]["annotations"][MIRROR],
            "must set spec.nodeName if mirror pod annotation is set",
        ));
    }
    for group in ["initContainers", "containers"] {
        for (index, container) in list(pod, &format!("/spec/{group}")).iter().enumerate() {
            let at = format!("spec.{group}[{index}]");
            restart_policy(container, &at, errors);
            let hooks = &container["lifecycle"];
            if hooks.is_null() {
                continue;
            }
            let at = format!("{at}.lifecycle");
            if group == "initContainers" && text(container, "/restartPolicy") != "Always" {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(&at, detail));
                continue;
            }
            for stage in ["postStart", "preStop"] {
                if !hooks[stage].is_null() {
                    handler(pod, &hooks[stage], &format!("{at}.{stage}"), errors);
                }
            }
            stop_signal(pod, text(hooks, "/stopSignal"), &at, errors);
        }
    }
}

/// A key with slashes as a JSON pointer (RFC 6901).
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn restart_policy(container: &Value, at: &str, errors: &mut Errors) {
    let policy = text(container, "/restartPolicy");
    let rules = list(container, "/restartPolicyRules");
    if policy.is_empty() {
        if !rules.is_empty() {
            let detail = "must specify restartPolicy when restart rules are used";
            errors.push(FieldError::required(format!("{at}.restartPolicy"), detail));
        }
        return;
    }
    let policies = ["Always", "Never", "OnFailure"];
    errors.one_of(format!("{at}.restartPolicy"), policy, &policies);
    let at = format!("{at}.restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.push(too_many(&at, rules.len(), RULES_MAX));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("{at}[{index}]");
        errors.one_of(
            format!("{at}.action"),
            text(rule, "/action"),
            &["Restart", "RestartAllContainers"],
        );
        if rule["exitCodes"].is_null() {
            errors.push(FieldError::required(
                format!("{at}.exitCodes"),
                "must be specified",
            ));
            continue;
        }
        errors.one_of(
            format!("{at}.exitCodes.operator"),
            text(rule, "/exitCodes/operator"),
            &["In", "NotIn"],
        );
        let count = list(rule, "/exitCodes/values").len();
        if count > CODES_MAX {
            errors.push(too_many(
                &format!("{at}.exitCodes.values"),
                count,
                CODES_MAX,
            ));
        }
    }
}

fn too_many(field: &str, count: usize, count_max: usize) -> FieldError {
    FieldError {
        field: field.to_owned(),
        reason: "FieldValueTooMany",
        message: format!("Too many: {count}: must have at most {count_max} items"),
    }
}

fn handler(pod: &Value, handler: &Value, at: &str, errors: &mut Errors) {
    let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
    let given: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| !handler[*kind].is_null())
        .collect();
    for (index, kind) in given.iter().enumerate() {
        let at = format!("{at}.{kind}");
        let action = &handler[*kind];
        if index > 0 {
            let detail = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(at, detail));
            continue;
        }
        match *kind {
            "exec" if list(action, "/command").is_empty() => {
                errors.push(FieldError::required(format!("{at}.command"), ""));
            }
            "httpGet" => http_get(action, &at, errors),
            "tcpSocket" => port(&action["port"], &format!("{at}.port"), errors),
            "sleep" => sleep(pod, action, &at, errors),
            _ => {}
        }
    }
    if given.is_empty() {
        errors.push(FieldError::required(at, "must specify a handler type"));
    }
}

fn http_get(action: &Value, at: &str, errors: &mut Errors) {
    if text(action, "/path").is_empty() {
        errors.push(FieldError::required(format!("{at}.path"), ""));
    }
    port(&action["port"], &format!("{at}.port"), errors);
    errors.one_of(
        format!("{at}.scheme"),
        text(action, "/scheme"),
        &["HTTP", "HTTPS"],
    );
    for header in list(action, "/httpHeaders") {
        let name = text(header, "/name");
        if http::HeaderName::try_from(name).is_err() {
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name')";
            errors.push(FieldError::invalid(
                format!("{at}.httpHeaders"),
                &name.into(),
                detail,
            ));
        }
    }
}

fn port(port: &Value, at: &str, errors: &mut Errors) {
    match port.as_str() {
        Some(name) => {
            if let Err(detail) = check_port_name(name) {
                errors.push(FieldError::invalid(at, port, detail));
            }
        }
        None => errors.range(at, port, 1..=65535),
    }
}

fn sleep(pod: &Value, action: &Value, at: &str, errors: &mut Errors) {
    let grace = pod["spec"]["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(SECONDS_DEFAULT);
    let seconds = action["seconds"].as_i64().unwrap_or_default();
    if seconds < 0 || seconds > grace {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(at, &seconds.into(), detail));
    }
}

fn stop_signal(pod: &Value, signal: &str, at: &str, errors: &mut Errors) {
    if signal.is_empty() {
        return;
    }
    let at = format!("{at}.stopSignal");
    if text(pod, "/spec/os/name").is_empty() {
        let detail = "may not be set for containers with empty `spec.os.name`";
        errors.push(FieldError::forbidden(at, detail));
    } else if !real_time(signal) {
        errors.one_of(at, signal, &SIGNALS);
    }
}

/// `SIGRTMIN`, `SIGRTMIN+1` to `+15`, `SIGRTMAX-14` to `-1`, `SIGRTMAX`.
fn real_time(signal: &str) -> bool {
    let within = |prefix: &str, max: u32| {
        signal
            .strip_prefix(prefix)
            .and_then(|offset| offset.parse::<u32>().ok())
            .is_some_and(|offset| (1..=max).contains(&offset))
    };
    matches!(signal, "SIGRTMIN" | "SIGRTMAX") || within("SIGRTMIN+", 15) || within("SIGRTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(spec: Value) -> String {
        let mut errors = Errors::default();
        validate(&json!({"spec": spec}), &mut errors);
        let found: Vec<String> = errors.list.into_iter().map(|e| e.field).collect();
        found.join(" ")
    }

    #[test]
    fn hooks_and_rules() {
        let rule = |action: &str, operator: &str| json!({"action": action, "exitCodes": {"operator": operator, "values": [1]}});
        for (container, want) in [
            (json!({}), ""),
            (
                json!({"lifecycle": {"postStart": {"exec": {"command": ["a"]}}, "preStop": {"sleep": {"seconds": 30}}}}),
                "",
            ),
            (
                json!({"lifecycle": {"postStart": {}}}),
                "lifecycle.postStart",
            ),
            (
                json!({"lifecycle": {"postStart": {"exec": {}}}}),
                "lifecycle.postStart.exec.command",
            ),
            (
                json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
                "lifecycle.preStop.sleep",
            ),
            (
                json!({"lifecycle": {"preStop": {"sleep": {"seconds": -1}}}}),
                "lifecycle.preStop.sleep",
            ),
            (
                json!({"lifecycle": {"preStop": {"exec": {"command": ["a"]}, "sleep": {"seconds": 1}}}}),
                "lifecycle.preStop.sleep",
            ),
            (
                json!({"lifecycle": {"preStop": {"httpGet": {"path": "/", "port": "web", "scheme": "HTTP"}}}}),
                "",
            ),
            (
                json!({"lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 0, "scheme": "FTP"}}}}),
                "lifecycle.preStop.httpGet.port lifecycle.preStop.httpGet.scheme",
            ),
            (
                json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 80}}}}),
                "",
            ),
            (
                json!({"lifecycle": {"stopSignal": "SIGUSR1"}}),
                "lifecycle.stopSignal",
            ),
            (
                json!({"restartPolicyRules": [rule("Restart", "In")]}),
                "restartPolicy",
            ),
            (
                json!({"restartPolicy": "Never", "restartPolicyRules": [rule("Restart", "NotIn"), rule("RestartAllContainers", "In")]}),
                "",
            ),
            (
                json!({"restartPolicy": "Maybe", "restartPolicyRules": [rule("Do", "Is"), {"action": "Restart"}]}),
                "restartPolicy restartPolicyRules[0].action restartPolicyRules[0].exitCodes.operator restartPolicyRules[1].exitCodes",
            ),
        ] {
            let found = fields(json!({"containers": [container]}));
            let found = found.replace("spec.containers[0].", "");
            assert_eq!(found, want, "{container}");
        }
        let signal = |signal: &str| {
            fields(
                json!({"os": {"name": "linux"}, "containers": [{"lifecycle": {"stopSignal": signal}}]}),
            )
        };
        for good in ["SIGTERM", "SIGRTMIN+3", "SIGRTMAX-14", "SIGRTMAX"] {
            assert_eq!(signal(good), "");
        }
        for bad in ["TERM", "SIGRTMIN+16", "SIGRTMAX-0"] {
            assert_eq!(signal(bad), "spec.containers[0].lifecycle.stopSignal");
        }
    }

    #[test]
    fn init_containers_have_hooks_where_they_stay() {
        let hooks = json!({"preStop": {"sleep": {"seconds": 1}}});
        let init = |policy: Value| {
            fields(json!({"initContainers": [{"restartPolicy": policy, "lifecycle": hooks}]}))
        };
        assert_eq!(init(json!("Always")), "");
        assert_eq!(init(Value::Null), "spec.initContainers[0].lifecycle");
        assert_eq!(
            fields(json!({"activeDeadlineSeconds": 0})),
            "spec.activeDeadlineSeconds"
        );
    }
}
