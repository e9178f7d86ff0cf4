//! Service account tokens of projected volumes: asked for, kept in memory, renewed before they end.
//! <https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken>

use crate::client::{Client, ClientError};
use crate::kubelet::spec::volumes::{TokenKey, TokenWish, token_wishes};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequestSpec};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// Renewed when this much of its life is over, and in any case after a day (upstream's token manager).
const LIFE_USED_PERCENT: i64 = 80;
const AGE_MS_MAX: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone)]
struct Token {
    expires_ms: i64,
    renew_ms: i64,
}

/// The tokens of one pod.
#[derive(Debug, Default)]
pub struct Tokens {
    known: BTreeMap<TokenKey, Token>,
    texts: BTreeMap<TokenKey, String>,
}

impl Tokens {
    /// Asks for what is missing or due. A token that cannot be renewed is used until it ends.
    pub async fn obtain(
        &mut self,
        client: &Client,
        pod: &Pod,
        now_ms: i64,
    ) -> Result<&BTreeMap<TokenKey, String>, ClientError> {
        for wish in token_wishes(pod) {
            let known = self.known.get(&wish.key);
            if known.is_some_and(|token| now_ms < token.renew_ms) {
                continue;
            }
            match request(client, pod, &wish).await {
                Ok((text, expires_ms)) => {
                    let token = Token {
                        expires_ms,
                        renew_ms: renew_ms(now_ms, expires_ms),
                    };
                    self.known.insert(wish.key.clone(), token);
                    self.texts.insert(wish.key, text);
                }
                Err(error) if known.is_some_and(|token| now_ms < token.expires_ms) => {
                    tracing::warn!(pod = pod.metadata.name.as_deref(), %error, "service account token not renewed; trying again");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(&self.texts)
    }

    /// When the first of them is due.
    pub fn renew_ms(&self) -> Option<i64> {
        self.known.values().map(|token| token.renew_ms).min()
    }
}

fn renew_ms(now_ms: i64, expires_ms: i64) -> i64 {
    let life_ms = expires_ms.saturating_sub(now_ms).max(0);
    let used_ms = life_ms / 100 * LIFE_USED_PERCENT;
    now_ms.saturating_add(used_ms.min(AGE_MS_MAX))
}

async fn request(
    client: &Client,
    pod: &Pod,
    wish: &TokenWish,
) -> Result<(String, i64), ClientError> {
    let account = pod
        .spec
        .as_ref()
        .and_then(|s| s.service_account_name.as_deref())
        .filter(|name| !name.is_empty())
        .unwrap_or("default");
    let spec = TokenRequestSpec {
        audiences: (!wish.audience.is_empty()).then(|| vec![wish.audience.clone()]),
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".to_string()),
            kind: Some("Pod".to_string()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        }),
        expiration_seconds: Some(wish.expiration_seconds),
        ..TokenRequestSpec::default()
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let answer = client.request_token(namespace, account, &spec).await?;
    let status = answer.status.unwrap_or_default();
    match (status.token, status.expiration_timestamp) {
        (Some(token), Some(expires)) => Ok((token, expires.0.as_millisecond())),
        _ => Err(ClientError::Decode(
            "a TokenRequest without token and expirationTimestamp in its status".to_string(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_comes_before_the_end() {
        let hour = 3_600_000;
        for (life, want) in [
            (hour, hour / 100 * 80),
            (100 * hour, 24 * hour),
            (0, 0),
            (-5, 0),
        ] {
            assert_eq!(renew_ms(1000, 1000 + life), 1000 + want);
        }
    }
}
