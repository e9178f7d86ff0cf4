//! Security contexts: the pod's and the container's, merged.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>

use super::ConfigError;
use crate::image::ImageConfig;
use crate::runtime::{Seccomp, Security};
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SeccompProfile};
use std::path::PathBuf;

/// What this node's owner and its kernel say.
#[derive(Debug, Clone, Default)]
pub struct SecurityPolicy {
    /// Where `Localhost` profiles are.
    pub seccomp_dir: PathBuf,
    /// A container that says nothing gets `RuntimeDefault`.
    pub seccomp_default: bool,
    pub apparmor: AppArmor,
    /// Names, or beginnings with `*`, of sysctls that are allowed beside the safe ones.
    pub allowed_unsafe_sysctls: Vec<String>,
}

/// What of AppArmor this kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AppArmor {
    #[default]
    Absent,
    /// With the profile for containers that name none, where one is loaded.
    Present { default: Option<String> },
}

pub fn security(
    pod: &Pod,
    container: &Container,
    image: &ImageConfig,
    policy: &SecurityPolicy,
) -> Result<Security, ConfigError> {
    let of_pod = pod
        .spec
        .as_ref()
        .and_then(|s| s.security_context.clone())
        .unwrap_or_default();
    let of_container = container.security_context.clone().unwrap_or_default();
    let uid = id(of_container.run_as_user.or(of_pod.run_as_user), "runAsUser")?;
    let gid = id(
        of_container.run_as_group.or(of_pod.run_as_group),
        "runAsGroup",
    )?;
    let run_as_non_root = of_container
        .run_as_non_root
        .or(of_pod.run_as_non_root)
        .unwrap_or(false);
    if run_as_non_root {
        check_non_root(uid, &image.user, pod, &container.name)?;
    }
    let mut additional_gids = Vec::new();
    for group in of_pod
        .supplemental_groups
        .iter()
        .flatten()
        .copied()
        .chain(of_pod.fs_group)
    {
        additional_gids.extend(id(Some(group), "supplementalGroups")?);
    }
    let capabilities = of_container.capabilities.unwrap_or_default();
    let privileged = of_container.privileged.unwrap_or(false);
    // As upstream and containerd: a privileged container is confined by nothing.
    let confined = !privileged;
    let seccomp = if confined {
        let profile = of_container.seccomp_profile.as_ref();
        seccomp(profile.or(of_pod.seccomp_profile.as_ref()), policy)?
    } else {
        Seccomp::Unconfined
    };
    let profile = of_container.app_armor_profile.as_ref();
    let apparmor = if confined || profile.is_some() {
        apparmor(profile.or(of_pod.app_armor_profile.as_ref()), policy)
    } else {
        None
    };
    Ok(Security {
        uid,
        gid,
        additional_gids,
        user: image.user.clone(),
        run_as_non_root,
        privileged,
        read_only_root: of_container.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: of_container.allow_privilege_escalation == Some(false),
        capabilities_add: bare_names(capabilities.add),
        capabilities_drop: bare_names(capabilities.drop),
        seccomp,
        apparmor,
        unmasked: of_container.proc_mount.as_deref() == Some("Unmasked"),
        strict_groups: of_pod.supplemental_groups_policy.as_deref() == Some("Strict"),
    })
}

fn id(value: Option<i64>, field: &str) -> Result<Option<u32>, ConfigError> {
    value
        .map(|v| {
            u32::try_from(v).map_err(|_| {
                ConfigError(format!(
                    "{field} {v} is no user or group id: use 0 to 2147483647"
                ))
            })
        })
        .transpose()
}

/// Upstream's `verifyRunAsNonRoot`, with its wording.
fn check_non_root(
    uid: Option<u32>,
    image_user: &str,
    pod: &Pod,
    container: &str,
) -> Result<(), ConfigError> {
    let user = image_user.split(':').next().unwrap_or_default();
    let why = match uid {
        Some(0) => "container's runAsUser breaks non-root policy".to_string(),
        Some(_) => return Ok(()),
        None if user.is_empty() => {
            "container has runAsNonRoot and image will run as root".to_string()
        }
        None => match user.parse::<u32>() {
            Ok(0) => "container has runAsNonRoot and image will run as root".to_string(),
            Ok(_) => return Ok(()),
            Err(_) => format!(
                "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
            ),
        },
    };
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Err(ConfigError(format!(
        "{why} (pod: \"{}_{}({})\", container: {container})",
        text(&meta.name),
        text(&meta.namespace),
        text(&meta.uid)
    )))
}

fn seccomp(
    profile: Option<&SeccompProfile>,
    policy: &SecurityPolicy,
) -> Result<Seccomp, ConfigError> {
    let Some(profile) = profile else {
        return Ok(if policy.seccomp_default {
            Seccomp::RuntimeDefault
        } else {
            Seccomp::Unconfined
        });
    };
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(Seccomp::RuntimeDefault),
        "Unconfined" => Ok(Seccomp::Unconfined),
        "Localhost" => {
            let file = PathBuf::from(profile.localhost_profile.as_deref().unwrap_or_default());
            let below = file.components().count() > 0
                && file
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
            if !below {
                return Err(ConfigError(format!(
                    "seccomp localhostProfile {:?} must be a path below {} without '..'",
                    file.display(),
                    policy.seccomp_dir.display()
                )));
            }
            Ok(Seccomp::Localhost(policy.seccomp_dir.join(file)))
        }
        other => Err(ConfigError(format!(
            "unknown seccomp profile type {other:?}"
        ))),
    }
}

/// The name of the loaded profile. What this node cannot do was refused at its door.
fn apparmor(profile: Option<&AppArmorProfile>, policy: &SecurityPolicy) -> Option<String> {
    let AppArmor::Present { default } = &policy.apparmor else {
        return None;
    };
    match profile.map(|p| p.type_.as_str()) {
        Some("Localhost") => profile.and_then(|p| p.localhost_profile.clone()),
        Some("Unconfined") => None,
        _ => default.clone(),
    }
}

fn bare_names(names: Option<Vec<String>>) -> Vec<String> {
    names
        .into_iter()
        .flatten()
        .map(|n| n.strip_prefix("CAP_").unwrap_or(&n).to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn merged(
        of_pod: serde_json::Value,
        of_container: serde_json::Value,
        user: &str,
    ) -> Result<Security, ConfigError> {
        let pod: Pod = serde_json::from_value(json!({"spec": {"securityContext": of_pod,
            "containers": [{"name": "c", "securityContext": of_container}]}}))
        .unwrap();
        let image = ImageConfig {
            user: user.to_string(),
            ..ImageConfig::default()
        };
        let policy = SecurityPolicy {
            seccomp_dir: "/s".into(),
            seccomp_default: true,
            apparmor: AppArmor::Present {
                default: Some("fallback".to_string()),
            },
            allowed_unsafe_sysctls: Vec::new(),
        };
        security(
            &pod,
            &pod.spec.as_ref().unwrap().containers[0],
            &image,
            &policy,
        )
    }

    #[test]
    fn filters_and_profiles() {
        let localhost =
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}});
        let unconfined = json!({"seccompProfile": {"type": "Unconfined"}});
        for (of_pod, of_container, want) in [
            (json!({}), json!({}), Seccomp::RuntimeDefault),
            (unconfined.clone(), json!({}), Seccomp::Unconfined),
            (
                unconfined.clone(),
                localhost.clone(),
                Seccomp::Localhost("/s/a/b.json".into()),
            ),
            (
                localhost.clone(),
                json!({"privileged": true}),
                Seccomp::Unconfined,
            ),
        ] {
            assert_eq!(merged(of_pod, of_container, "").unwrap().seccomp, want);
        }
        for path in ["", "/etc/x", "../x", "a/../../x"] {
            let profile =
                json!({"seccompProfile": {"type": "Localhost", "localhostProfile": path}});
            assert!(merged(profile, json!({}), "").is_err(), "{path}");
        }
        for (of_pod, of_container, want) in [
            (json!({}), json!({}), Some("fallback")),
            (
                json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}}),
                json!({}),
                Some("mine"),
            ),
            (
                json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}}),
                json!({"appArmorProfile": {"type": "Unconfined"}}),
                None,
            ),
            (json!({}), json!({"privileged": true}), None),
        ] {
            let made = merged(of_pod, of_container, "").unwrap();
            assert_eq!(made.apparmor.as_deref(), want);
        }
    }

    #[test]
    fn the_container_wins_over_the_pod() {
        let made = merged(
            json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 7, "supplementalGroups": [5]}),
            json!({"runAsUser": 2000, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                   "capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["ALL"]}}),
            "",
        )
        .unwrap();
        assert_eq!((made.uid, made.gid), (Some(2000), Some(1000)));
        assert_eq!(made.additional_gids, [5, 7]);
        assert!(made.no_new_privileges && made.read_only_root);
        assert_eq!(
            (made.capabilities_add, made.capabilities_drop),
            (vec!["NET_ADMIN".into()], vec!["ALL".into()])
        );
    }

    #[test]
    fn non_root() {
        let policy = json!({"runAsNonRoot": true});
        for (container, user, fails) in [
            (json!({}), "", Some("image will run as root")),
            (json!({}), "0:0", Some("image will run as root")),
            (json!({}), "www", Some("non-numeric user (www)")),
            (
                json!({"runAsUser": 0}),
                "1000",
                Some("breaks non-root policy"),
            ),
            (json!({}), "1000:1000", None),
            (json!({"runAsUser": 5}), "", None),
            (json!({"runAsNonRoot": false}), "", None),
        ] {
            let result = merged(policy.clone(), container.clone(), user);
            match fails {
                None => assert!(result.is_ok(), "{container}"),
                Some(text) => assert!(result.unwrap_err().0.contains(text), "{container}"),
            }
        }
        assert!(merged(json!({"runAsUser": -1}), json!({}), "").is_err());
    }
}
