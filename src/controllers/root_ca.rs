//! Every active namespace has the authority's certificate in a ConfigMap, so that pods can trust the API.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#root-ca-cert-publisher>

use crate::client::{Client, ClientError, PatchType};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::collections::BTreeMap;

pub const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";

/// How a namespace's ConfigMap stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Missing,
    /// Somebody changed it, or the authority is another one.
    Wrong,
    Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Create,
    Correct,
}

pub fn look(map: &ConfigMap, certificate_pem: &str) -> Found {
    let held = map.data.as_ref().and_then(|data| data.get(KEY));
    if held.is_some_and(|held| held == certificate_pem) {
        Found::Right
    } else {
        Found::Wrong
    }
}

pub fn reconcile(namespace: &Namespace, found: Found) -> Step {
    match found {
        _ if super::namespace::is_terminating(namespace) => Step::Nothing,
        Found::Missing => Step::Create,
        Found::Wrong => Step::Correct,
        Found::Right => Step::Nothing,
    }
}

/// Puts the ConfigMap of `namespace` right.
pub async fn run(
    client: &Client,
    namespace: &Namespace,
    found: Found,
    certificate_pem: &str,
) -> Result<(), ClientError> {
    let place = namespace.metadata.name.as_deref();
    let data = BTreeMap::from([(KEY.to_owned(), certificate_pem.to_owned())]);
    let result = match reconcile(namespace, found) {
        Step::Nothing => return Ok(()),
        Step::Create => {
            let map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    namespace: place.map(str::to_owned),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            client.create(place, &map).await
        }
        Step::Correct => {
            let patch = json!({"data": data});
            client
                .patch::<ConfigMap>(place, NAME, None, PatchType::Merge, &patch)
                .await
        }
    };
    match result {
        // Made or removed by someone else in between: the news of that comes round again.
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_missing_is_made_and_what_is_wrong_put_right() {
        let active: Namespace = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        let mut ending = active.clone();
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        for (found, step) in [
            (Found::Missing, Step::Create),
            (Found::Wrong, Step::Correct),
            (Found::Right, Step::Nothing),
        ] {
            assert_eq!(reconcile(&active, found), step);
            assert_eq!(reconcile(&ending, found), Step::Nothing);
        }
        let map: ConfigMap = serde_json::from_value(json!({"data": {"ca.crt": "x"}})).unwrap();
        assert_eq!(look(&map, "x"), Found::Right);
        assert_eq!(look(&map, "y"), Found::Wrong);
        assert_eq!(look(&ConfigMap::default(), "x"), Found::Wrong);
    }
}
