//! Secrets that hold a token of a ServiceAccount for as long as both live: older programs and dashboards ask for one.
//! <https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets>
//!
//! The token is asked for at the API like any other and bound to the Secret, so that it dies with it: controllers hold
//! no key to sign with.

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::{Change, Key, World, key};
use crate::client::{Client, ClientError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::{Value, json};

/// The only Secrets that are watched.
pub const SELECTOR: &str = "type=kubernetes.io/service-account-token";

const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The longest that can be asked for, 136 years: the token's end is the Secret's.
const SECONDS: i64 = 1 << 32;

pub struct TokenSecrets {
    /// For programs to trust the API by.
    pub certificate_pem: String,
}

fn annotation<'a>(secret: &'a Secret, name: &str) -> &'a str {
    let annotations = secret.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(name))
        .map_or("", String::as_str)
}

impl Controller for TokenSecrets {
    fn name(&self) -> &'static str {
        "serviceaccount-token-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::TokenSecret(diff) => diff.key().into_iter().collect(),
            Change::ServiceAccount(diff) => {
                let Some((namespace, account)) = diff.key() else {
                    return Vec::new();
                };
                let secrets = world.token_secrets.in_namespace(&namespace);
                let of_account = secrets.filter(|secret| annotation(secret, ACCOUNT) == account);
                of_account.map(|secret| key(&secret.metadata)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, _: Timestamp) -> Plan {
        let Some(secret) = world.token_secrets.get(key) else {
            return Plan::default();
        };
        if secret.metadata.deletion_timestamp.is_some() {
            return Plan::default();
        }
        let name = annotation(secret, ACCOUNT);
        let known = annotation(secret, ACCOUNT_UID);
        let account = world
            .service_accounts
            .get(&(key.0.clone(), name.to_owned()));
        let target = Target::of::<Secret>(&secret.metadata);
        let Some(account) = account
            .filter(|account| known.is_empty() || account.metadata.uid.as_deref() == Some(known))
        else {
            return Plan::of(vec![
                Action::ConfirmGone(Target {
                    uid: known.to_owned(),
                    ..Target::named::<ServiceAccount>(&key.0, name)
                }),
                Action::Delete {
                    target,
                    resource_version: secret.metadata.resource_version.clone(),
                    grace_period_seconds: None,
                    propagation: None,
                },
            ]);
        };
        // What may not be changed keeps what it was made with.
        if secret.immutable == Some(true) {
            return Plan::default();
        }
        let holds = |name: &str| {
            let data = secret.data.as_ref().and_then(|data| data.get(name));
            data.map(|bytes| bytes.0.as_slice()).unwrap_or_default()
        };
        let mut patch = json!({});
        for (field, text) in [
            ("ca.crt", self.certificate_pem.as_str()),
            ("namespace", &key.0),
        ] {
            if holds(field) != text.as_bytes() {
                patch["data"][field] = STANDARD.encode(text).into();
            }
        }
        if known.is_empty() {
            patch["metadata"]["annotations"][ACCOUNT_UID] = json!(account.metadata.uid);
        }
        let resource_version = secret.metadata.resource_version.clone();
        if holds("token").is_empty() {
            return Plan::of(vec![Action::Mint {
                account: name.to_owned(),
                secret: target,
                resource_version,
                patch,
            }]);
        }
        if patch == json!({}) {
            return Plan::default();
        }
        Plan::of(vec![Action::Patch {
            target,
            part: None,
            resource_version,
            patch,
        }])
    }
}

/// Asks for a token that is bound to the Secret, and puts it among what is to be written into it.
pub async fn mint(
    client: &Client,
    account: &str,
    secret: &Target,
    patch: &mut Value,
) -> Result<(), ClientError> {
    let spec = TokenRequestSpec {
        attestations: None,
        audiences: None,
        expiration_seconds: Some(SECONDS),
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(secret.name.clone()),
            uid: Some(secret.uid.clone()),
        }),
    };
    let answer = client
        .request_token(&secret.namespace, account, &spec)
        .await?;
    let token = answer.status.and_then(|status| status.token);
    let token = token.ok_or_else(|| ClientError::Decode("there is no token in it".to_owned()))?;
    patch["data"]["token"] = STANDARD.encode(token).into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_filled_once_and_goes_with_its_account() {
        let secret = |name: &str, account: &str, uid: &str, data: Value| {
            let mut annotations = json!({ACCOUNT: account});
            if !uid.is_empty() {
                annotations[ACCOUNT_UID] = uid.into();
            }
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "data": data,
                "metadata": {"namespace": "a", "name": name, "annotations": annotations}})
        };
        let text = |text: &str| STANDARD.encode(text);
        let (right, other) = (text("pem"), text("old"));
        let whole = json!({"token": text("t"), "ca.crt": right, "namespace": text("a")});
        let old = json!({"token": text("t"), "ca.crt": other, "namespace": text("a")});
        let mut world = World::of(&[
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "a", "name": "sa", "uid": "S"}}),
            secret("new", "sa", "", Value::Null),
            secret("whole", "sa", "S", whole.clone()),
            secret("old", "sa", "S", old),
            secret("lost", "none", "", Value::Null),
            secret("former", "sa", "R", whole),
        ]);
        let controller = TokenSecrets {
            certificate_pem: "pem".into(),
        };
        let does = |world: &World, name: &str| {
            let plan =
                controller.reconcile(world, &("a".into(), name.into()), Timestamp::UNIX_EPOCH);
            let word = |action: &Action| match action {
                Action::Mint { patch, .. } => format!("mint {patch}"),
                Action::Patch { patch, .. } => format!("patch {patch}"),
                Action::ConfirmGone(target) => format!("no {}{}", target.name, target.uid),
                Action::Delete { .. } => "delete".to_owned(),
                other => format!("{other:?}"),
            };
            plan.actions.iter().map(word).collect::<Vec<_>>()
        };
        let minted = json!({"data": {"ca.crt": right, "namespace": text("a")}, "metadata": {"annotations": {ACCOUNT_UID: "S"}}});
        assert_eq!(does(&world, "new"), [format!("mint {minted}")]);
        assert_eq!(does(&world, "whole"), Vec::<String>::new());
        assert_eq!(
            does(&world, "old"),
            [format!("patch {}", json!({"data": {"ca.crt": right}}))]
        );
        assert_eq!(does(&world, "lost"), ["no none", "delete"]);
        assert_eq!(does(&world, "former"), ["no saR", "delete"]);
        world.unlearn("v1", "ServiceAccount", &("a".into(), "sa".into()), "S");
        assert_eq!(does(&world, "whole"), ["no saS", "delete"]);
    }
}
