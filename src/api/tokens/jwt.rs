//! The envelope: JSON Web Signature in its compact form (RFC 7515, section 3.1), with `ES256` and nothing else.
//! A page of our own: there is one algorithm, one kind of key, and nothing to negotiate that could be got wrong.

use crate::mesh::identity::IdentityError;
use crate::mesh::signing::SigningKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest token looked at. Ours have about 1 KiB; hyper's own bound on a request's head is larger.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

const ALGORITHM: &str = "ES256";

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// The name of a key in tokens and key sets.
pub fn key_id(key: &SigningKey) -> String {
    URL_SAFE_NO_PAD.encode(key.id())
}

/// A token with `payload`.
pub fn sign(key: &SigningKey, payload: &Value) -> Result<String, IdentityError> {
    let header = json!({"alg": ALGORITHM, "kid": key_id(key)});
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(payload.to_string())
    );
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The payload of a token that `key` signed; `None`: anything else.
pub fn open(key: &SigningKey, token: &str) -> Option<Vec<u8>> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    if header.alg != ALGORITHM || header.kid != key_id(key) {
        return None;
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.verifies(message.as_bytes(), &signature) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(payload).ok()
}

/// `/openid/v1/jwks` (RFC 7517): with it others can check our tokens.
pub fn key_set(key: &SigningKey) -> Value {
    let (x, y) = key.coordinates();
    json!({"keys": [{
        "use": "sig", "kty": "EC", "kid": key_id(key), "crv": "P-256", "alg": ALGORITHM,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }]})
}

/// `/.well-known/openid-configuration` of the issuer, whose API answers at `address` (`192.0.2.1:6443`).
/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>
pub fn configuration(address: &str) -> Value {
    json!({
        "issuer": super::ISSUER, "jwks_uri": format!("https://{address}/openid/v1/jwks"),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_whole_tokens_of_this_key_open() {
        let key = SigningKey::fleeting().unwrap();
        let token = sign(&key, &json!({"a": 1})).unwrap();
        assert_eq!(open(&key, &token).unwrap(), b"{\"a\":1}");
        let other = SigningKey::fleeting().unwrap();
        assert_eq!(open(&other, &token), None);
        // Another key's signature under this key's name.
        let none = URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}");
        let parts: Vec<&str> = token.split('.').collect();
        for forged in [
            String::new(),
            "a".to_owned(),
            "a.b".to_owned(),
            "a.b.c".to_owned(),
            "..".to_owned(),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode("{}"), parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{token}A"),
            format!("{token}."),
            "x".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            assert_eq!(open(&key, &forged), None, "{forged}");
        }
    }

    #[test]
    fn the_key_set_names_the_key() {
        let key = SigningKey::fleeting().unwrap();
        let set = key_set(&key);
        assert_eq!(set["keys"][0]["kid"], key_id(&key));
        assert_eq!(set["keys"][0]["x"].as_str().unwrap().len(), 43);
    }
}
