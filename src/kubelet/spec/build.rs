//! The whole specification of a sandbox and of a container's run.

use super::env::{Inputs, environment, expand};
use super::security::SecurityPolicy;
use super::{ConfigError, NodeFacts, Sources, command, dns, resources, security};
use crate::image::{ImageConfig, RootFs};
use crate::profile::LogProfile;
use crate::runtime::{ContainerSpec, Mount, Propagation, SandboxSpec};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An error where the pod's full name is longer than a kernel takes.
pub fn sandbox_spec(
    pod: &Pod,
    node_name: &str,
    host_resolv_conf: &str,
) -> Result<SandboxSpec, String> {
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let sysctls = spec
        .and_then(|s| s.security_context.as_ref())
        .and_then(|c| c.sysctls.as_ref())
        .into_iter()
        .flatten()
        .map(|s| (s.name.replace('/', "."), s.value.clone()))
        .collect();
    Ok(SandboxSpec {
        pod_uid: text(pod.metadata.uid.as_ref()),
        namespace: text(pod.metadata.namespace.as_ref()),
        name: text(pod.metadata.name.as_ref()),
        hostname: dns::kernel_hostname(pod, node_name)?,
        host_network: dns::host_network(pod),
        host_pid: spec.and_then(|s| s.host_pid) == Some(true),
        host_ipc: spec.and_then(|s| s.host_ipc) == Some(true),
        cgroup: resources::cgroup(pod),
        resolv_conf: dns::resolv_conf(pod, host_resolv_conf),
        sysctls,
        first_user: None,
        share_process_namespace: spec.and_then(|s| s.share_process_namespace) == Some(true),
    })
}

/// What a container's specification is made from besides the pod.
pub struct ContainerInputs<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub image: &'a ImageConfig,
    pub sources: &'a Sources,
    pub node: &'a NodeFacts,
    pub pod_ip: &'a str,
    pub logs: &'a LogProfile,
    /// Service variables for the pod's namespace.
    pub services: &'a [(String, String)],
    pub policy: &'a SecurityPolicy,
}

/// Everything that can be said without touching the disk: mounts still have volumes' names.
#[derive(Debug)]
pub struct Draft {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: PathBuf,
    pub security: crate::runtime::Security,
    pub resources: crate::runtime::Resources,
    pub mounts: Vec<DraftMount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftMount {
    pub volume: String,
    /// Below the volume; empty: the volume itself.
    pub sub_path: String,
    pub target: PathBuf,
    pub read_only: bool,
    pub propagation: Propagation,
    pub recursive_read_only: bool,
    /// `noexec`, `nodev`, `nosuid`.
    pub options: Vec<String>,
}

/// The pure part of a container's specification.
pub fn draft(inputs: &ContainerInputs) -> Result<Draft, ConfigError> {
    let hostname = dns::kernel_hostname(inputs.pod, &inputs.node.name).map_err(ConfigError)?;
    let (env, own) = environment(&Inputs {
        pod: inputs.pod,
        container: inputs.container,
        image: inputs.image,
        sources: inputs.sources,
        node: inputs.node,
        hostname: &hostname,
        pod_ip: inputs.pod_ip,
        services: inputs.services,
    })?;
    let mounts = inputs
        .container
        .volume_mounts
        .iter()
        .flatten()
        .map(|m| draft_mount(m, &own))
        .collect::<Result<_, _>>()?;
    Ok(Draft {
        args: command::args(inputs.container, inputs.image, &own)?,
        env,
        working_dir: command::working_dir(inputs.container, inputs.image).into(),
        security: security::security(inputs.pod, inputs.container, inputs.image, inputs.policy)?,
        resources: resources::container_resources(
            inputs.pod,
            inputs.container,
            inputs.node.memory_bytes,
        ),
        mounts,
    })
}

fn draft_mount(
    mount: &VolumeMount,
    variables: &BTreeMap<String, String>,
) -> Result<DraftMount, ConfigError> {
    let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
        (Some(path), _) if !path.is_empty() => path.clone(),
        (_, Some(expression)) => expand_known(expression, variables)?,
        _ => String::new(),
    };
    if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
        return Err(ConfigError(format!(
            "subPath {sub_path:?} of volume mount {:?} must be relative and without '..'",
            mount.name
        )));
    }
    Ok(DraftMount {
        volume: mount.name.clone(),
        sub_path,
        target: mount.mount_path.clone().into(),
        read_only: mount.read_only == Some(true),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::None,
        },
        // The kernel calls that mount containers' volumes can do it always (mount_setattr(2), Linux 5.12).
        recursive_read_only: matches!(
            mount.recursive_read_only.as_deref(),
            Some("Enabled" | "IfPossible")
        ),
        options: mount.bind_mount_options.clone().unwrap_or_default(),
    })
}

/// A variable that is not set is an error here: the path would be another one (upstream's
/// `ExpandContainerVolumeMounts`).
fn expand_known(
    expression: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, ConfigError> {
    match unknown_variable(expression, variables) {
        Some(name) => Err(ConfigError(format!("missing value for {name:?}"))),
        None => Ok(expand(expression, variables)),
    }
}

/// The first `$(NAME)` without a value; `$$` is a plain `$`.
fn unknown_variable<'a>(
    expression: &'a str,
    variables: &BTreeMap<String, String>,
) -> Option<&'a str> {
    let mut rest = expression;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            rest = tail;
        } else if let Some((name, tail)) = after
            .strip_prefix('(')
            .and_then(|tail| tail.split_once(')'))
        {
            if !variables.contains_key(name) {
                return Some(name);
            }
            rest = tail;
        } else {
            rest = after;
        }
    }
    None
}

/// Joins the draft with what was made on disk.
pub fn container_spec(
    inputs: &ContainerInputs,
    draft: Draft,
    attempt: u32,
    root_fs: RootFs,
    mounts: Vec<Mount>,
    log_path: PathBuf,
) -> ContainerSpec {
    ContainerSpec {
        name: inputs.container.name.clone(),
        attempt,
        root_fs,
        args: draft.args,
        env: draft.env,
        working_dir: draft.working_dir,
        tty: inputs.container.tty == Some(true),
        stdin: inputs.container.stdin == Some(true),
        mounts,
        resources: draft.resources,
        security: draft.security,
        log_path,
        log_file_bytes_max: inputs.logs.file_bytes_max,
        log_files_max: inputs.logs.files_max,
        stdin_once: inputs.container.stdin_once == Some(true),
        processes_of: None,
    }
}
