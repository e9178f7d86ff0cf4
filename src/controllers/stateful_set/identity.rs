//! Names: which ordinal a pod is.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id>

use crate::controllers::world::PodView;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// `web-3` is the set's name and the ordinal; only as we would write it.
pub fn split(name: &str) -> Option<(&str, i32)> {
    let (set, digits) = name.rsplit_once('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    (ordinal.to_string() == digits && !set.is_empty()).then_some((set, ordinal))
}

/// The pod's ordinal in the set; `None`: its name is not one of the set's.
pub fn ordinal(set: &str, pod: &ObjectMeta) -> Option<i32> {
    let (its, ordinal) = split(pod.name.as_deref()?)?;
    (its == set).then_some(ordinal)
}

pub fn pod_name(set: &str, ordinal: i32) -> String {
    format!("{set}-{ordinal}")
}

/// Labels that say which one it is.
pub fn labels(set: &str, ordinal: i32) -> [(&'static str, String); 2] {
    [
        (POD_NAME, pod_name(set, ordinal)),
        (POD_INDEX, ordinal.to_string()),
    ]
}

/// The pod bears the labels of its name.
pub fn is_labelled(set: &str, ordinal: i32, pod: &PodView) -> bool {
    let mut labels = labels(set, ordinal).into_iter();
    labels.all(|(label, value)| pod.labels().get(label) == Some(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_we_would_write_them() {
        for (name, expected) in [
            ("web-0", Some(("web", 0))),
            ("web-1-12", Some(("web-1", 12))),
            ("web-01", None),
            ("web", None),
            ("-1", None),
            ("web-+1", None),
            ("web-99999999999", None),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }
}
