//! What a namespace is born with, in the transaction that makes it: the account its pods act as, and the authority's
//! certificate. A pod in the next line of a manifest finds both; the controllers bring back what is deleted later.

use crate::api::encode::encode;
use crate::api::kinds::Kind;
use crate::api::status::ApiResult;
use crate::api::{Api, metadata};
use crate::store::{Expect, Key, Op};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The ConfigMap with the authority's certificate, in every namespace.
/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#root-ca-cert-publisher>
pub const ROOT_CA: &str = "kube-root-ca.crt";
const DEFAULT_ACCOUNT: &str = "default";

impl Api {
    /// The further writes of a new object of `kind`.
    pub(in crate::api) fn born_with(&self, kind: &Kind, name: &str) -> ApiResult<Vec<Op>> {
        if !kind.group.is_empty() || kind.plural != "namespaces" {
            return Ok(Vec::new());
        }
        let account = json!({
            "kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": {"name": DEFAULT_ACCOUNT, "namespace": name},
        });
        let authority = json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": ROOT_CA, "namespace": name, "annotations": {DESCRIPTION: DESCRIPTION_TEXT}},
            "data": {"ca.crt": self.parts.identity.root_certificate_pem},
        });
        let mut ops = Vec::new();
        for (place, object) in [
            (format!("serviceaccounts/{name}/{DEFAULT_ACCOUNT}"), account),
            (format!("configmaps/{name}/{ROOT_CA}"), authority),
        ] {
            ops.extend(self.put_new(Key(place), object)?);
        }
        Ok(ops)
    }

    fn put_new(&self, key: Key, mut object: Value) -> ApiResult<Option<Op>> {
        if self.parts.store.get(&key)?.is_some() {
            return Ok(None);
        }
        metadata::prepare_create(&mut object, Timestamp::now());
        Ok(Some(Op::Put {
            key,
            body: encode(&object)?,
            expect: Expect::Absent,
        }))
    }
}

/// Upstream's note on these ConfigMaps.
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
