//! Debug containers that are added to a running pod: started once, never again.
//! <https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/>

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

/// The pod's ephemeral containers.
pub fn list(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec
        .iter()
        .flat_map(|s| s.ephemeral_containers.iter().flatten())
}

/// The ephemeral container of this name in the form of any other; what it may not have (ports, resources, probes,
/// hooks) the API refuses.
pub fn find(pod: &Pod, name: &str) -> Option<Container> {
    list(pod).find(|e| e.name == name).map(as_container)
}

/// The container whose processes it wants to see.
pub fn target<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    list(pod)
        .find(|e| e.name == name)?
        .target_container_name
        .as_deref()
        .filter(|target| !target.is_empty())
}

pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    Container {
        name: ephemeral.name.clone(),
        image: ephemeral.image.clone(),
        image_pull_policy: ephemeral.image_pull_policy.clone(),
        command: ephemeral.command.clone(),
        args: ephemeral.args.clone(),
        working_dir: ephemeral.working_dir.clone(),
        env: ephemeral.env.clone(),
        env_from: ephemeral.env_from.clone(),
        volume_mounts: ephemeral.volume_mounts.clone(),
        volume_devices: ephemeral.volume_devices.clone(),
        security_context: ephemeral.security_context.clone(),
        stdin: ephemeral.stdin,
        stdin_once: ephemeral.stdin_once,
        tty: ephemeral.tty,
        termination_message_path: ephemeral.termination_message_path.clone(),
        termination_message_policy: ephemeral.termination_message_policy.clone(),
        ..Container::default()
    }
}
