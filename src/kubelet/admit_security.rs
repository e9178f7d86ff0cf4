//! Whether this node can confine a pod as it asks: sysctls and AppArmor.
//! <https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/>; reasons and words are those of kubelet's
//! `sysctl` and `apparmor` admission handlers.

use super::pod::state::{Verdict, containers};
use super::spec::dns::host_network;
use super::spec::security::{AppArmor, SecurityPolicy};
use k8s_openapi::api::core::v1::{AppArmorProfile, Pod};
use std::fs;

/// Isolated between pods, and of no harm to a neighbour.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Profiles that may be loaded for containers that name none, ours before containerd's. Loading one is the owner's:
/// it takes the host's `apparmor_parser`.
const APPARMOR_DEFAULTS: [&str; 2] = ["coracle-default", "cri-containerd.apparmor.d"];

/// What AppArmor this machine has.
pub fn apparmor() -> AppArmor {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if !enabled.is_ok_and(|text| text.starts_with('Y')) {
        return AppArmor::Absent;
    }
    let loaded = fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    AppArmor::Present {
        default: default_profile(&loaded),
    }
}

/// Each line is `name (mode)`.
fn default_profile(loaded: &str) -> Option<String> {
    let is_loaded = |name: &str| {
        let names = loaded.lines().filter_map(|line| line.rsplit_once(" ("));
        names.into_iter().any(|(own, _)| own == name)
    };
    let found = APPARMOR_DEFAULTS.iter().find(|name| is_loaded(name));
    found.map(|name| (*name).to_string())
}

pub fn admit(pod: &Pod, policy: &SecurityPolicy) -> Result<(), Verdict> {
    sysctls(pod, &policy.allowed_unsafe_sysctls).map_err(|message| Verdict {
        reason: "SysctlForbidden".to_string(),
        message: format!("Pod was rejected: {message}"),
    })?;
    confinement(pod, &policy.apparmor).map_err(|message| Verdict {
        reason: "AppArmor".to_string(),
        message: format!("Pod was rejected: Cannot enforce AppArmor: {message}"),
    })
}

fn sysctls(pod: &Pod, allowed: &[String]) -> Result<(), String> {
    let spec = pod.spec.as_ref();
    let host_ipc = spec.and_then(|s| s.host_ipc) == Some(true);
    let wanted = spec
        .and_then(|s| s.security_context.as_ref())
        .and_then(|c| c.sysctls.as_ref());
    for sysctl in wanted.into_iter().flatten() {
        // Slashes are a second way to write the name, sysctl.d(5).
        let name = sysctl.name.replace('/', ".");
        let refuse = |why: &str| Err(format!("forbidden sysctl: \"{name}\" {why}"));
        let known = SAFE_SYSCTLS.contains(&name.as_str())
            || allowed
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => *pattern == name,
                });
        if !known {
            return refuse("not allowlisted");
        }
        if name.starts_with("net.") {
            if host_network(pod) {
                return refuse("not allowed with host net enabled");
            }
        } else if host_ipc {
            return refuse("not allowed with host ipc enabled");
        }
    }
    Ok(())
}

fn confinement(pod: &Pod, has: &AppArmor) -> Result<(), String> {
    let of_pod = pod
        .spec
        .as_ref()
        .and_then(|s| s.security_context.as_ref())
        .and_then(|c| c.app_armor_profile.as_ref());
    let own = containers(pod)
        .filter_map(|(_, c)| c.security_context.as_ref()?.app_armor_profile.as_ref());
    let asked: Vec<&AppArmorProfile> = of_pod
        .into_iter()
        .chain(own)
        .filter(|profile| profile.type_ != "Unconfined")
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    match has {
        AppArmor::Absent => Err("AppArmor is not enabled on the host".to_string()),
        AppArmor::Present { default: None }
            if asked
                .iter()
                .any(|profile| profile.type_ == "RuntimeDefault") =>
        {
            Err(format!(
                "no default profile is loaded on the host; load one named {} with apparmor_parser",
                APPARMOR_DEFAULTS[0]
            ))
        }
        AppArmor::Present { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        let mut whole = json!({"spec": {"containers": [{"name": "c"}]}});
        json_patch::merge(&mut whole["spec"], &spec);
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn sysctls_as_upstream() {
        let one =
            |name: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        let with = |name: &str, more: serde_json::Value| {
            let mut spec = one(name);
            json_patch::merge(&mut spec, &more);
            spec
        };
        let allowed = ["kernel.msg*".to_string(), "net.core.somaxconn".to_string()];
        for (spec, said) in [
            (json!({}), ""),
            (one("kernel.shm_rmid_forced"), ""),
            (one("net/ipv4/tcp_syncookies"), ""),
            (one("kernel.msgmax"), ""),
            (one("net.core.somaxconn"), ""),
            (
                one("kernel.sem"),
                "forbidden sysctl: \"kernel.sem\" not allowlisted",
            ),
            (
                with("net.ipv4.tcp_syncookies", json!({"hostNetwork": true})),
                "not allowed with host net enabled",
            ),
            (
                with("kernel.shm_rmid_forced", json!({"hostIPC": true})),
                "not allowed with host ipc enabled",
            ),
        ] {
            let got = sysctls(&pod(spec.clone()), &allowed)
                .err()
                .unwrap_or_default();
            assert!(
                got.contains(said) && got.is_empty() == said.is_empty(),
                "{spec}: {got}"
            );
        }
    }

    #[test]
    fn apparmor_where_it_is() {
        let asks =
            |kind: &str| pod(json!({"securityContext": {"appArmorProfile": {"type": kind}}}));
        let bare = AppArmor::Present { default: None };
        for (kind, has, fine) in [
            ("Unconfined", &AppArmor::Absent, true),
            ("RuntimeDefault", &AppArmor::Absent, false),
            ("Localhost", &AppArmor::Absent, false),
            ("RuntimeDefault", &bare, false),
            ("Localhost", &bare, true),
        ] {
            assert_eq!(confinement(&asks(kind), has).is_ok(), fine, "{kind}");
        }
        assert_eq!(confinement(&pod(json!({})), &AppArmor::Absent), Ok(()));
        let loaded = "/usr/sbin/x (enforce)\ncri-containerd.apparmor.d (enforce)\n";
        assert_eq!(
            default_profile(loaded).as_deref(),
            Some(APPARMOR_DEFAULTS[1])
        );
        assert_eq!(default_profile(""), None);
    }
}
