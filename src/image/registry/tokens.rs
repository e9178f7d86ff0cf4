//! Bearer tokens and what registries asked for, kept in memory until they expire.

use super::challenge::Challenge;
use crate::image::sources::Credentials;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Repositories remembered; a node's pods use few.
const KEPT_MAX: usize = 64;

/// A token lives this long where its registry does not say (distribution's token specification).
const LIFE_DEFAULT: Duration = Duration::from_mins(1);

/// A token this close to its end is not used any more: a slow link takes its time.
const MARGIN: Duration = Duration::from_secs(10);

/// Longest life believed.
const LIFE_MAX: Duration = Duration::from_hours(24);

/// Which token: endpoint, repository, and who asked (hashed, so that no secret is held).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    pub fn new(base: &str, repository: &str, credentials: Option<&Credentials>) -> Key {
        let mut hasher = Sha256::new();
        let mut add = |part: &str| {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add(base);
        add(repository);
        match credentials {
            None => add("none"),
            Some(Credentials::Login { username, password }) => {
                add("login");
                add(username);
                add(password);
            }
            Some(Credentials::Identity { token }) => {
                add("identity");
                add(token);
            }
            Some(Credentials::Bearer { token }) => {
                add("bearer");
                add(token);
            }
        }
        Key(hasher.finalize().into())
    }
}

#[derive(Clone)]
struct Kept {
    challenge: Challenge,
    /// Empty for basic authentication, where nothing expires.
    token: String,
    expires: Option<Instant>,
}

/// Shared by all pulls of a node.
#[derive(Default)]
pub struct Tokens {
    kept: Mutex<HashMap<Key, Kept>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// What worked lately: the challenge, and the token for it (empty for basic).
    pub fn get(&self, key: &Key, now: Instant) -> Option<(Challenge, String)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(key)?;
        if found.expires.is_some_and(|end| end <= now + MARGIN) {
            return None;
        }
        Some((found.challenge.clone(), found.token.clone()))
    }

    pub fn put(
        &self,
        key: Key,
        challenge: Challenge,
        token: String,
        life: Option<Duration>,
        now: Instant,
    ) {
        let expires = match challenge {
            Challenge::Basic => None,
            Challenge::Bearer { .. } => Some(now + life.unwrap_or(LIFE_DEFAULT).min(LIFE_MAX)),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| kept.expires.is_none_or(|end| end > now));
        if kept.len() >= KEPT_MAX {
            // The one that ends first; those that never end are cheap to learn again too.
            let oldest = kept
                .iter()
                .min_by_key(|(_, kept)| kept.expires)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                kept.remove(&oldest);
            }
        }
        kept.insert(
            key,
            Kept {
                challenge,
                token,
                expires,
            },
        );
    }

    /// The registry does not take it any more.
    pub fn forget(&self, key: &Key) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_serve_until_shortly_before_their_end_and_only_their_owner() {
        let tokens = Tokens::default();
        let login = |password: &str| Credentials::Login {
            username: "u".into(),
            password: password.into(),
        };
        let key = Key::new("https://r/v2", "a", Some(&login("p")));
        assert_ne!(key, Key::new("https://r/v2", "a", Some(&login("q"))));
        assert_ne!(key, Key::new("https://r/v2", "a", None));
        assert_ne!(Key::new("ab", "c", None), Key::new("a", "bc", None));
        let bearer = Challenge::Bearer {
            realm: "https://t".into(),
            service: None,
            scope: None,
        };
        let now = Instant::now();
        let life = Some(Duration::from_secs(100));
        tokens.put(key.clone(), bearer.clone(), "t".into(), life, now);
        assert_eq!(tokens.get(&key, now).unwrap().1, "t");
        assert!(tokens.get(&key, now + Duration::from_secs(91)).is_none());
        for n in 0..2 * KEPT_MAX {
            let key = Key::new("b", &n.to_string(), None);
            tokens.put(key, bearer.clone(), String::new(), None, now);
        }
        assert!(tokens.kept.lock().unwrap().len() <= KEPT_MAX);
    }
}
