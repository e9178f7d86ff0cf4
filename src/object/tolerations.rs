//! Whether a pod tolerates a taint.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>

use k8s_openapi::api::core::v1::{Taint, Toleration};

fn filled(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Whether one of the tolerations is for this taint.
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let effect = filled(toleration.effect.as_ref()).is_none_or(|effect| effect == taint.effect);
        let key = filled(toleration.key.as_ref()).is_none_or(|key| key == taint.key);
        let value = match filled(toleration.operator.as_ref()) {
            Some("Exists") => true,
            Some("Equal") | None => {
                filled(toleration.key.as_ref()).is_some()
                    && filled(toleration.value.as_ref()) == filled(taint.value.as_ref())
            }
            Some(_) => false,
        };
        effect && key && value
    })
}
