//! Which objects a pod needs.

use k8s_openapi::api::core::v1::Pod;

/// ConfigMaps and Secrets a pod's file volumes mention, in this order, each list sorted.
pub fn mentioned_in_files(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let mut maps = Vec::new();
    let mut secrets = Vec::new();
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        maps.extend(volume.config_map.iter().map(|c| c.name.clone()));
        secrets.extend(volume.secret.iter().filter_map(|s| s.secret_name.clone()));
        for part in volume
            .projected
            .iter()
            .flat_map(|p| p.sources.iter().flatten())
        {
            maps.extend(part.config_map.iter().map(|c| c.name.clone()));
            secrets.extend(part.secret.iter().map(|s| s.name.clone()));
        }
    }
    (tidy(maps), tidy(secrets))
}

/// The same with those its containers' environments mention.
pub fn mentioned(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = mentioned_in_files(pod);
    let debug = crate::kubelet::pod::ephemeral::list(pod).map(|e| (&e.env_from, &e.env));
    for (env_from, env) in crate::kubelet::pod::state::containers(pod)
        .map(|(_, c)| (&c.env_from, &c.env))
        .chain(debug)
    {
        for from in env_from.iter().flatten() {
            maps.extend(from.config_map_ref.iter().map(|c| c.name.clone()));
            secrets.extend(from.secret_ref.iter().map(|s| s.name.clone()));
        }
        for source in env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            maps.extend(source.config_map_key_ref.iter().map(|c| c.name.clone()));
            secrets.extend(source.secret_key_ref.iter().map(|s| s.name.clone()));
        }
    }
    (tidy(maps), tidy(secrets))
}

/// Images that are volumes of a pod.
pub fn volume_images(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.filter_map(|volume| volume.image.as_ref()?.reference.as_deref())
}

fn tidy(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}
