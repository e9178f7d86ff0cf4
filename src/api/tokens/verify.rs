//! Whether a token is good now: signature, times, audience, and what it is bound to.

use super::claims::{Bound, Claims, Object};
use super::clock::{FLOOR_SECONDS, Standing, standing};
use super::jwt;
use crate::mesh::signing::SigningKey;
use crate::store::{Key, Store};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens whose signature is known to be good: each about 1 KiB of claims. A node's pods have one each, and a full
/// memory begins anew; what it costs is one signature check, a millisecond on the smallest board.
const REMEMBERED_MAX: usize = 128;

/// Why a token is not believed. The client is only told that it is not; the log says this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("invalid bearer token")]
    Foreign,
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    Early,
    #[error("token audiences {found:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        found: Vec<String>,
        wanted: Vec<String>,
    },
    #[error("service account {0} is not there any more, or another one of its name is")]
    Account(String),
    #[error("the {kind} {name:?} that the token is bound to is not there any more")]
    Unbound { kind: &'static str, name: String },
    #[error("the store cannot be read: {0}")]
    Store(String),
}

/// Checks tokens of one key against one store.
pub struct Verifier {
    store: Store,
    key: Arc<SigningKey>,
    remembered: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

impl Verifier {
    pub fn new(store: Store, key: Arc<SigningKey>) -> Verifier {
        Verifier {
            store,
            key,
            remembered: Mutex::default(),
        }
    }

    /// The claims of a token that is good at `now` (Unix seconds) for one of `audiences`, and those of them it is for.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        now: i64,
    ) -> Result<(Arc<Claims>, Vec<String>), Refusal> {
        let claims = self.genuine(token).ok_or(Refusal::Foreign)?;
        match standing(&claims, now, FLOOR_SECONDS) {
            Standing::Good => {}
            Standing::Early => return Err(Refusal::Early),
            Standing::Expired => return Err(Refusal::Expired),
        }
        let shared: Vec<String> = audiences
            .iter()
            .filter(|audience| claims.audiences.contains(audience))
            .cloned()
            .collect();
        if shared.is_empty() {
            return Err(Refusal::Audience {
                found: claims.audiences.clone(),
                wanted: audiences.to_vec(),
            });
        }
        self.still_there(&claims)?;
        Ok((claims, shared))
    }

    fn genuine(&self, token: &str) -> Option<Arc<Claims>> {
        if token.len() > jwt::TOKEN_BYTES_MAX {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let remembered = || {
            self.remembered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(claims) = remembered().get(&hash) {
            return Some(claims.clone());
        }
        let claims = Arc::new(Claims::from_slice(&jwt::open(&self.key, token)?)?);
        let mut known = remembered();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(hash, claims.clone());
        Some(claims)
    }

    /// Account and bound object, by uid.
    fn still_there(&self, claims: &Claims) -> Result<(), Refusal> {
        let namespace = &claims.namespace;
        let account = format!("serviceaccounts/{namespace}/{}", claims.account.name);
        if !self.same(&account, &claims.account)? {
            return Err(Refusal::Account(format!(
                "{namespace}/{}",
                claims.account.name
            )));
        }
        let (kind, key, object) = match claims.bound() {
            None => return Ok(()),
            Some(Bound::Pod(pod)) => ("Pod", format!("pods/{namespace}/{}", pod.name), pod),
            Some(Bound::Secret(secret)) => (
                "Secret",
                format!("secrets/{namespace}/{}", secret.name),
                secret,
            ),
            Some(Bound::Node(node)) => ("Node", format!("nodes/{}", node.name), node),
        };
        if self.same(&key, object)? {
            return Ok(());
        }
        Err(Refusal::Unbound {
            kind,
            name: object.name.clone(),
        })
    }

    /// Whether the object under `key` is the one meant. One that is being deleted still is: its containers run on, and
    /// may need the API to end well (upstream waits a minute past the deletion's time, which this keeps to by the object
    /// itself).
    fn same(&self, key: &str, meant: &Object) -> Result<bool, Refusal> {
        let stored = self
            .store
            .get(&Key(key.to_owned()))
            .map_err(|error| Refusal::Store(error.to_string()))?;
        let Some(stored) = stored else {
            return Ok(false);
        };
        let object: Named = serde_json::from_slice(&stored.json)
            .map_err(|error| Refusal::Store(error.to_string()))?;
        Ok(object.metadata.uid == meant.uid)
    }
}

/// All that is read of an object: this is done for every request.
#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
}
