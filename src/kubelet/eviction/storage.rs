//! Pods over their own limits of local storage: emptyDir sizes, containers' and pods' ephemeral-storage.
//! <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#resource-emphemeralstorage-consumption>

use super::message;
use crate::kubelet::pod::state::containers;
use crate::kubelet::stats::PodDisk;
use crate::object::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};

const RESOURCE: &str = "ephemeral-storage";

/// The signal such an eviction is counted under, and what is to be said of it.
pub type Violation = (&'static str, String);

/// Whether anything of the pod is limited: only then is its disk walked.
pub fn is_limited(pod: &Pod) -> bool {
    volumes(pod)
        .iter()
        .any(|volume| size_limit(volume).is_some())
        || containers(pod).any(|(_, container)| limit(container).is_some())
}

/// What the pod broke, if anything; in upstream's order: emptyDirs, the pod as a whole, containers.
pub fn violation(pod: &Pod, disk: &PodDisk) -> Option<Violation> {
    for volume in volumes(pod) {
        let used = disk
            .volumes
            .get(&volume.name)
            .or(disk.memory_volumes.get(&volume.name));
        if let (Some((limit, text)), Some(used)) = (size_limit(volume), used)
            && used.bytes > limit
        {
            return Some(("emptydirfs.limit", message::empty_dir(&volume.name, text)));
        }
    }
    let limits = containers(pod).filter_map(|(_, container)| limit(container));
    let pod_limit = limits.map(|(bytes, _)| bytes).reduce(u64::saturating_add);
    if let Some(pod_limit) = pod_limit
        && disk.total().bytes > pod_limit
    {
        return Some(("ephemeralpodfs.limit", message::pod_storage(pod_limit)));
    }
    for (_, container) in containers(pod) {
        if let Some((bytes, text)) = limit(container)
            && disk.of_container(&container.name).bytes > bytes
        {
            return Some((
                "ephemeralcontainerfs.limit",
                message::container_storage(&container.name, text),
            ));
        }
    }
    None
}

fn volumes(pod: &Pod) -> &[Volume] {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default()
}

fn bytes(text: &str) -> Option<u64> {
    let value = Quantity::parse(text).ok()?.value();
    u64::try_from(value).ok().filter(|bytes| *bytes > 0)
}

fn size_limit(volume: &Volume) -> Option<(u64, &str)> {
    let text = volume.empty_dir.as_ref()?.size_limit.as_ref()?.0.as_str();
    Some((bytes(text)?, text))
}

fn limit(container: &Container) -> Option<(u64, &str)> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    let text = limits.get(RESOURCE)?.0.as_str();
    Some((bytes(text)?, text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kubelet::stats::DiskUse;
    use serde_json::json;

    #[test]
    fn each_limit_has_its_words() {
        let held = |bytes| DiskUse { bytes, inodes: 1 };
        let mib = 1 << 20;
        let limited = |limits: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"spec": {
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "w", "emptyDir": {}}],
                "containers": [{"name": "c", "resources": {"limits": limits}}, {"name": "d"}]}}))
            .unwrap()
        };
        let disk = |volume, root, logs, other| PodDisk {
            root_fs: [("c".to_owned(), held(root)), ("d".to_owned(), held(other))].into(),
            logs: [("c".to_owned(), held(logs))].into(),
            volumes: [("v".to_owned(), held(volume))].into(),
            ..PodDisk::default()
        };
        let four = json!({"ephemeral-storage": "4Mi"});
        for (limits, disk, expected) in [
            (json!({}), disk(mib, 9 * mib, 0, 0), None),
            (
                json!({}),
                disk(mib + 1, 0, 0, 0),
                Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "),
            ),
            (four.clone(), disk(mib, mib, mib, mib), None),
            (
                four.clone(),
                disk(mib, mib, mib, 2 * mib),
                Some(
                    "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
                ),
            ),
        ] {
            let found = violation(&limited(limits), &disk).map(|(_, text)| text);
            assert_eq!(found.as_deref(), expected);
        }
        let mut two = limited(four);
        two.spec.as_mut().unwrap().containers[1].resources =
            serde_json::from_value(json!({"limits": {"ephemeral-storage": "8Mi"}})).unwrap();
        let found = violation(&two, &disk(0, 4 * mib, 1, 0)).unwrap();
        assert_eq!(
            found.1,
            "Container c exceeded its local ephemeral storage limit \"4Mi\". "
        );
        assert!(is_limited(&two));
        let free: Pod =
            serde_json::from_value(json!({"spec": {"containers": [{"name": "c"}]}})).unwrap();
        assert!(!is_limited(&free));
    }
}
