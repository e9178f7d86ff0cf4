//! Which template is which: the hash a ReplicaSet is named by, and equality that does not look at it.

use crate::controllers::world::Folded;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::json;

/// <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label>
pub const LABEL: &str = "pod-template-hash";

/// Without vowels and what looks like them, so that no word comes out.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a, 32 bits, of the template as JSON with its keys in order, and the number of collisions there were.
pub fn hash<T: serde::Serialize>(template: &T, collisions: Option<i32>) -> String {
    let mut text = json!(template).to_string().into_bytes();
    if let Some(count) = collisions.filter(|count| *count != 0) {
        text.extend(count.to_le_bytes());
    }
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    let digits = hash.to_string();
    let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied();
    digits.bytes().filter_map(letter).map(char::from).collect()
}

/// Equal but for the hash label.
pub fn is_of(set: &Folded<ReplicaSet>, template: &PodTemplateSpec) -> bool {
    let Some(its) = &set.spec.template else {
        return false;
    };
    let cleared = |template: &PodTemplateSpec| {
        let mut meta = template.metadata.clone().unwrap_or_default();
        if let Some(labels) = &mut meta.labels {
            labels.remove(LABEL);
        }
        meta.labels = meta.labels.filter(|labels| !labels.is_empty());
        meta.annotations = meta
            .annotations
            .filter(|annotations| !annotations.is_empty());
        meta.creation_timestamp = None;
        meta
    };
    cleared(its) == cleared(template) && set.has_pods(template.spec.as_ref())
}
