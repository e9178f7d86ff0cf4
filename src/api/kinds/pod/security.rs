//! Validation of security contexts and of what a pod shares with its host, as upstream's
//! `ValidatePodSecurityContext` and `ValidateSecurityContext`.

use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{integer, list, present, text, truth};
use serde_json::Value;
use std::collections::HashSet;

/// The largest user and group id that upstream allows.
pub const ID_MAX: i64 = i32::MAX as i64;
/// Upstream's `SysctlMaxLength`.
const SYSCTL_BYTES_MAX: usize = 253;
/// Linux' `PATH_MAX` less its end, which bounds a profile's name upstream.
const PROFILE_BYTES_MAX: usize = 4095;

pub fn validate(pod: &Value, errors: &mut Errors) {
    let context = &pod["spec"]["securityContext"];
    let at = "spec.securityContext";
    ids(context, at, errors);
    for (index, group) in list(context, "/supplementalGroups").iter().enumerate() {
        errors.range(
            format!("{at}.supplementalGroups[{index}]"),
            group,
            0..=ID_MAX,
        );
    }
    let policy = text(context, "/supplementalGroupsPolicy");
    if !policy.is_empty() {
        let field = format!("{at}.supplementalGroupsPolicy");
        errors.one_of(field, policy, &["Merge", "Strict"]);
    }
    profiles(context, at, errors);
    sysctls(pod, errors);
    if truth(pod, "/spec/shareProcessNamespace") && truth(pod, "/spec/hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(
            "spec.shareProcessNamespace",
            &true.into(),
            detail,
        ));
    }
    if pod["spec"]["hostUsers"] == false {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if truth(pod, &format!("/spec/{field}")) {
                let detail = "when `hostUsers` is false, may not be true";
                errors.push(FieldError::forbidden(format!("spec.{field}"), detail));
            }
        }
    }
    for group in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in list(pod, &format!("/spec/{group}")).iter().enumerate() {
            let unmasked = text(container, "/securityContext/procMount") == "Unmasked";
            if unmasked && pod["spec"]["hostUsers"] != false {
                let detail = "`hostUsers` must be false to use `Unmasked`";
                errors.push(FieldError::invalid(
                    format!("spec.{group}[{index}].securityContext.procMount"),
                    &"Unmasked".into(),
                    detail,
                ));
            }
        }
    }
}

/// The container's own context; `at` is the container.
pub fn validate_container(container: &Value, at: &str, errors: &mut Errors) {
    let context = &container["securityContext"];
    let at = format!("{at}.securityContext");
    ids(context, &at, errors);
    profiles(context, &at, errors);
    let mount = text(context, "/procMount");
    if !mount.is_empty() {
        errors.one_of(format!("{at}.procMount"), mount, &["Default", "Unmasked"]);
    }
    if context["allowPrivilegeEscalation"] == false {
        if truth(context, "/privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(&at, context, detail));
        }
        let added = list(context, "/capabilities/add");
        if added
            .iter()
            .any(|c| c == "CAP_SYS_ADMIN" || c == "SYS_ADMIN")
        {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(&at, context, detail));
        }
    }
}

/// User and group ids of a security context.
fn ids(context: &Value, at: &str, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        if present(context, &format!("/{field}")) {
            errors.range(format!("{at}.{field}"), &context[field], 0..=ID_MAX);
        }
    }
    let root = present(context, "/runAsUser") && integer(context, "/runAsUser") == 0;
    if root && truth(context, "/runAsNonRoot") {
        let detail = "must not be 0 when `runAsNonRoot` is true: the container would never start";
        errors.push(FieldError::invalid(
            format!("{at}.runAsUser"),
            &context["runAsUser"],
            detail,
        ));
    }
}

/// `seccompProfile` and `appArmorProfile`.
fn profiles(context: &Value, at: &str, errors: &mut Errors) {
    for (field, shown) in [
        ("seccompProfile", "seccomp"),
        ("appArmorProfile", "AppArmor"),
    ] {
        if !present(context, &format!("/{field}")) {
            continue;
        }
        let (profile, at) = (&context[field], format!("{at}.{field}"));
        let kind = text(profile, "/type");
        if kind.is_empty() {
            errors.push(FieldError::required(
                format!("{at}.type"),
                "type is required when the profile is set",
            ));
            continue;
        }
        errors.one_of(
            format!("{at}.type"),
            kind,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        );
        let at = format!("{at}.localhostProfile");
        let given = present(profile, "/localhostProfile");
        let name = text(profile, "/localhostProfile");
        if kind != "Localhost" {
            if given {
                let detail = format!("can only be set when {shown} type is Localhost");
                errors.push(FieldError::invalid(at, &name.into(), detail));
            }
        } else if name.trim().is_empty() {
            let detail = format!("must be set when {shown} type is Localhost");
            errors.push(FieldError::required(at, &detail));
        } else if let Some(detail) = wrong_profile(field, name) {
            errors.push(FieldError::invalid(at, &name.into(), detail));
        }
    }
}

fn wrong_profile(field: &str, name: &str) -> Option<&'static str> {
    if name.len() > PROFILE_BYTES_MAX {
        return Some("must have at most 4095 bytes");
    }
    if field == "appArmorProfile" {
        return (name.trim() != name).then_some("must not be padded with whitespace");
    }
    if name.starts_with('/') {
        return Some("must be a relative path");
    }
    let climbs = name.split('/').any(|part| part == "..");
    climbs.then_some("must not contain '..'")
}

fn sysctls(pod: &Value, errors: &mut Errors) {
    let mut seen = HashSet::new();
    let all = list(pod, "/spec/securityContext/sysctls");
    for (index, sysctl) in all.iter().enumerate() {
        let at = format!("spec.securityContext.sysctls[{index}].name");
        let name = text(sysctl, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        if !is_sysctl(name) {
            let detail = format!(
                "must have at most {SYSCTL_BYTES_MAX} characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            );
            errors.push(FieldError::invalid(at, &name.into(), detail));
            continue;
        }
        let name = name.replace('/', ".");
        if !seen.insert(name.clone()) {
            errors.push(FieldError::duplicate(at, &name.into()));
            continue;
        }
        let hosts = if name.starts_with("net.") {
            "hostNetwork"
        } else {
            "hostIPC"
        };
        if truth(pod, &format!("/spec/{hosts}")) {
            let detail = format!("may not be set when '{hosts}' is true");
            errors.push(FieldError::invalid(at, &name.into(), detail));
        }
    }
}

/// Upstream's `SysctlContainSlashFmt`: segments of a-z, 0-9, `-` and `_`, with a letter or digit at both ends.
fn is_sysctl(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= SYSCTL_BYTES_MAX
        && name.split(['.', '/']).all(|segment| {
            let bytes = segment.as_bytes();
            bytes.first().copied().is_some_and(plain)
                && bytes.last().copied().is_some_and(plain)
                && bytes.iter().all(|b| plain(*b) || b"-_".contains(b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(spec: &Value) -> String {
        let pod = json!({"spec": spec});
        let mut errors = Errors::default();
        validate(&pod, &mut errors);
        for container in list(&pod, "/spec/containers") {
            validate_container(container, "c", &mut errors);
        }
        let fields: Vec<String> = errors.list.into_iter().map(|e| e.field).collect();
        fields.join(" ").replace("spec.securityContext", "sc")
    }

    #[test]
    fn contexts() {
        let pod = |context: Value| json!({"securityContext": context});
        for (spec, want) in [
            (json!({}), ""),
            (
                pod(json!({"runAsUser": 0, "runAsNonRoot": true})),
                "sc.runAsUser",
            ),
            (
                pod(json!({"supplementalGroups": [1, -1]})),
                "sc.supplementalGroups[1]",
            ),
            (
                pod(json!({"supplementalGroupsPolicy": "Loose"})),
                "sc.supplementalGroupsPolicy",
            ),
            (
                pod(json!({"seccompProfile": {"type": "RuntimeDefault"}})),
                "",
            ),
            (pod(json!({"seccompProfile": {}})), "sc.seccompProfile.type"),
            (
                pod(json!({"seccompProfile": {"type": "X"}})),
                "sc.seccompProfile.type",
            ),
            (
                pod(json!({"seccompProfile": {"type": "Localhost"}})),
                "sc.seccompProfile.localhostProfile",
            ),
            (
                pod(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/../b"}})),
                "sc.seccompProfile.localhostProfile",
            ),
            (
                pod(json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}})),
                "sc.seccompProfile.localhostProfile",
            ),
            (
                pod(
                    json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}}),
                ),
                "",
            ),
            (
                pod(json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}})),
                "sc.appArmorProfile.localhostProfile",
            ),
            (
                json!({"shareProcessNamespace": true, "hostPID": true}),
                "spec.shareProcessNamespace",
            ),
            (
                json!({"containers": [{"securityContext": {"procMount": "Unmasked"}}]}),
                "spec.containers[0].securityContext.procMount",
            ),
            (
                json!({"containers": [{"securityContext": {"procMount": "Half"}}]}),
                "c.securityContext.procMount",
            ),
            (json!({"hostUsers": false, "hostPID": true}), "spec.hostPID"),
        ] {
            assert_eq!(found(&spec), want, "{spec}");
        }
    }

    #[test]
    fn sysctl_names() {
        let sysctl = |name: &str| json!({"name": name, "value": "1"});
        for (names, host, want) in [
            (
                vec!["kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies"],
                "",
                "",
            ),
            (vec!["a.b", "a/b"], "", "sc.sysctls[1].name"),
            (vec!["A"], "", "sc.sysctls[0].name"),
            (vec!["a..b"], "", "sc.sysctls[0].name"),
            (vec!["a.-b"], "", "sc.sysctls[0].name"),
            (vec![""], "", "sc.sysctls[0].name"),
            (vec!["net.a"], "hostNetwork", "sc.sysctls[0].name"),
            (vec!["kernel.a"], "hostIPC", "sc.sysctls[0].name"),
            (vec!["net.a"], "hostIPC", ""),
        ] {
            let list: Vec<Value> = names.iter().map(|n| sysctl(n)).collect();
            let mut spec = json!({"securityContext": {"sysctls": list}});
            if !host.is_empty() {
                spec[host] = true.into();
            }
            assert_eq!(found(&spec), want, "{names:?} {host}");
        }
    }
}
