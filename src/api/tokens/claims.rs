//! What a token says: the claims upstream gives bound tokens, pure.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims>

use crate::api::User;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who says so; also the audience of tokens for the API itself.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A name and the uid that tells it from a later object of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Object {
    pub name: String,
    pub uid: String,
}

impl Object {
    pub fn new(name: &str, uid: &str) -> Object {
        Object {
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    fn to_value(&self) -> Value {
        json!({"name": self.name, "uid": self.uid})
    }
}

/// What a token lives and dies with, beside its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound<'a> {
    Pod(&'a Object),
    Secret(&'a Object),
    Node(&'a Object),
}

/// Times are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    pub audiences: Vec<String>,
    pub expires_at: i64,
    pub issued_at: i64,
    pub not_before: i64,
    /// `jti`: tells one token from another in logs.
    pub id: String,
    pub namespace: String,
    pub account: Object,
    pub pod: Option<Object>,
    pub secret: Option<Object>,
    /// The node a pod's token is for; without a pod, what the token is bound to.
    pub node: Option<Object>,
    /// The client should have fetched a new one by now.
    pub warn_after: Option<i64>,
}

#[derive(Deserialize)]
struct Wire {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: i64,
    iat: i64,
    nbf: i64,
    #[serde(default)]
    jti: String,
    #[serde(rename = "kubernetes.io")]
    private: Private,
}

/// RFC 7519, section 4.1.3: one or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Private {
    namespace: String,
    serviceaccount: Object,
    pod: Option<Object>,
    secret: Option<Object>,
    node: Option<Object>,
    warnafter: Option<i64>,
}

impl Claims {
    /// The payload of a token.
    pub fn to_value(&self) -> Value {
        let mut private = json!({
            "namespace": self.namespace,
            "serviceaccount": self.account.to_value(),
        });
        for (name, object) in [
            ("node", &self.node),
            ("pod", &self.pod),
            ("secret", &self.secret),
        ] {
            if let Some(object) = object {
                private[name] = object.to_value();
            }
        }
        if let Some(at) = self.warn_after {
            private["warnafter"] = at.into();
        }
        json!({
            "aud": self.audiences, "exp": self.expires_at, "iat": self.issued_at, "iss": ISSUER, "jti": self.id,
            "kubernetes.io": private, "nbf": self.not_before, "sub": self.subject(),
        })
    }

    /// Reads a payload; `None`: it is not one of ours.
    pub fn from_slice(json: &[u8]) -> Option<Claims> {
        let wire: Wire = serde_json::from_slice(json).ok()?;
        let claims = Claims {
            audiences: match wire.aud {
                Audiences::One(one) => vec![one],
                Audiences::Many(many) => many,
            },
            expires_at: wire.exp,
            issued_at: wire.iat,
            not_before: wire.nbf,
            id: wire.jti,
            namespace: wire.private.namespace,
            account: wire.private.serviceaccount,
            pod: wire.private.pod,
            secret: wire.private.secret,
            node: wire.private.node,
            warn_after: wire.private.warnafter,
        };
        (wire.iss == ISSUER && wire.sub == claims.subject()).then_some(claims)
    }

    /// `system:serviceaccount:<namespace>:<name>`
    pub fn subject(&self) -> String {
        user_name(&self.namespace, &self.account.name)
    }

    pub fn bound(&self) -> Option<Bound<'_>> {
        match (&self.pod, &self.secret, &self.node) {
            (Some(pod), ..) => Some(Bound::Pod(pod)),
            (None, Some(secret), _) => Some(Bound::Secret(secret)),
            (None, None, Some(node)) => Some(Bound::Node(node)),
            (None, None, None) => None,
        }
    }

    /// The user the API sees behind the token.
    pub fn user(&self) -> User {
        let mut extra = BTreeMap::new();
        let mut tell = |key: &str, value: String| {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        if !self.id.is_empty() {
            tell("credential-id", format!("JTI={}", self.id));
        }
        if let Some(pod) = &self.pod {
            tell("pod-name", pod.name.clone());
            tell("pod-uid", pod.uid.clone());
        }
        if let Some(node) = &self.node {
            tell("node-name", node.name.clone());
            tell("node-uid", node.uid.clone());
        }
        User {
            name: self.subject(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{}", self.namespace),
                crate::api::AUTHENTICATED.to_owned(),
            ],
            uid: self.account.uid.clone(),
            extra,
        }
    }
}

/// The user name of a service account.
pub fn user_name(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn claims() -> Claims {
        Claims {
            audiences: vec![ISSUER.to_owned()],
            expires_at: 30,
            issued_at: 10,
            not_before: 10,
            id: "j".to_owned(),
            namespace: "ns".to_owned(),
            account: Object::new("sa", "u1"),
            pod: Some(Object::new("web", "u2")),
            secret: None,
            node: Some(Object::new("n", "u3")),
            warn_after: Some(20),
        }
    }

    #[test]
    fn claims_come_back_as_upstream_words_them() {
        let value = claims().to_value();
        assert_eq!(
            value,
            json!({
                "aud": ["https://kubernetes.default.svc.cluster.local"],
                "exp": 30, "iat": 10, "iss": "https://kubernetes.default.svc.cluster.local", "jti": "j",
                "kubernetes.io": {
                    "namespace": "ns", "serviceaccount": {"name": "sa", "uid": "u1"},
                    "node": {"name": "n", "uid": "u3"}, "pod": {"name": "web", "uid": "u2"}, "warnafter": 20,
                },
                "nbf": 10, "sub": "system:serviceaccount:ns:sa",
            })
        );
        assert_eq!(
            Claims::from_slice(value.to_string().as_bytes()),
            Some(claims())
        );
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for change in [
            json!({"iss": "https://elsewhere"}),
            json!({"sub": "system:serviceaccount:ns:other"}),
            json!({"kubernetes.io": null}),
            json!({"exp": "soon"}),
            json!({"aud": 7}),
        ] {
            let mut value = claims().to_value();
            json_patch::merge(&mut value, &change);
            assert_eq!(
                Claims::from_slice(value.to_string().as_bytes()),
                None,
                "{change}"
            );
        }
        assert_eq!(Claims::from_slice(b"[]"), None);
    }

    #[test]
    fn the_user_is_named_as_upstream_names_it() {
        let user = claims().user();
        assert_eq!(user.name, "system:serviceaccount:ns:sa");
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
        assert_eq!(user.uid, "u1");
        assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["web"]);
        assert_eq!(
            claims().bound(),
            Some(Bound::Pod(&Object::new("web", "u2")))
        );
    }
}
