//! Every active namespace has a ServiceAccount `default`.
//! <https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts>

use crate::client::{Client, ClientError};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub const NAME: &str = "default";

/// The account to make, if one is missing.
pub fn reconcile(namespace: &Namespace, exists: bool) -> Option<ServiceAccount> {
    if exists || super::namespace::is_terminating(namespace) {
        return None;
    }
    Some(ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: namespace.metadata.name.clone(),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    })
}

/// Makes the account of `namespace` if it is missing.
pub async fn run(client: &Client, namespace: &Namespace, exists: bool) -> Result<(), ClientError> {
    let Some(account) = reconcile(namespace, exists) else {
        return Ok(());
    };
    let created = client
        .create(namespace.metadata.name.as_deref(), &account)
        .await;
    match created {
        // Made by someone else in between: what we wanted.
        Err(error) if error.code() == Some(409) => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn only_active_namespaces_without_one_get_one() {
        let active: Namespace = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        let mut ending = active.clone();
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let made = reconcile(&active, false).unwrap();
        assert_eq!(made.metadata.namespace.as_deref(), Some("a"));
        assert!(reconcile(&active, true).is_none());
        assert!(reconcile(&ending, false).is_none());
    }
}
