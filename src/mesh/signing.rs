//! The cluster's key for signing tokens: ECDSA on P-256 with SHA-256, `ES256` of RFC 7518, section 3.4.
//!
//! It lies beside the authority's own key and belongs to the cluster, not to a node: whoever has it can issue tokens
//! that every API server of the cluster accepts.

use super::identity::{IdentityError, write_private};
use rcgen::{KeyPair, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const FILE: &str = "service-accounts.key";

/// An uncompressed point of P-256: 0x04, then both coordinates (SEC 1, section 2.3.3).
const POINT_BYTES: usize = 65;
const COORDINATE_BYTES: usize = 32;

/// Signs tokens and tells its own signatures from others'.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    /// The public point, uncompressed.
    point: [u8; POINT_BYTES],
    id: [u8; 32],
}

impl SigningKey {
    /// The key in `directory` (the authority's), made at the first call.
    pub fn open(directory: &Path) -> Result<SigningKey, IdentityError> {
        let path = directory.join(FILE);
        let pem = match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let pem = KeyPair::generate()
                    .map_err(|cause| IdentityError::Sign {
                        name: "service accounts".to_owned(),
                        cause: cause.to_string(),
                    })?
                    .serialize_pem();
                write_private(&path, pem.as_bytes())?;
                pem
            }
            Err(cause) => return Err(IdentityError::File { path, cause }),
        };
        SigningKey::from_pem(&pem).map_err(|cause| IdentityError::Broken { path, cause })
    }

    /// A key that is kept nowhere.
    pub fn fleeting() -> Result<SigningKey, IdentityError> {
        let failed = |cause: String| IdentityError::Sign {
            name: "service accounts".to_owned(),
            cause,
        };
        let pair = KeyPair::generate().map_err(|cause| failed(cause.to_string()))?;
        SigningKey::from_pem(&pair.serialize_pem()).map_err(failed)
    }

    fn from_pem(pem: &str) -> Result<SigningKey, String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| error.to_string())?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.secret_pkcs8_der(),
            &random,
        )
        .map_err(|error| error.to_string())?;
        let known = KeyPair::from_pem(pem).map_err(|error| error.to_string())?;
        let point = ring::signature::KeyPair::public_key(&pair)
            .as_ref()
            .try_into()
            .map_err(|_| "its public point is not one of P-256".to_owned())?;
        Ok(SigningKey {
            pair,
            random,
            point,
            id: Sha256::digest(known.subject_public_key_info()).into(),
        })
    }

    /// SHA-256 of the public key's SubjectPublicKeyInfo: what tokens and key sets name this key by.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The public point's coordinates, for a JSON Web Key (RFC 7518, section 6.2.1).
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        self.point[1..].split_at(COORDINATE_BYTES)
    }

    /// R and S, 32 bytes each.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        self.pair
            .sign(&self.random, message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| IdentityError::Sign {
                name: "a token".to_owned(),
                cause: "the kernel gives no random numbers".to_owned(),
            })
    }

    /// Whether this key made `signature` over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message, signature)
            .is_ok()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_key_is_kept_and_knows_its_own_signatures() {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::open(directory.path()).unwrap();
        let signature = key.sign(b"a").unwrap();
        assert_eq!(signature.len(), 64);
        let again = SigningKey::open(directory.path()).unwrap();
        assert_eq!(again.id(), key.id());
        assert!(again.verifies(b"a", &signature));
        assert!(!again.verifies(b"b", &signature));
        assert!(!again.verifies(b"a", &[]));
        assert!(!SigningKey::fleeting().unwrap().verifies(b"a", &signature));
        fs::write(directory.path().join(FILE), "nonsense").unwrap();
        assert!(matches!(
            SigningKey::open(directory.path()),
            Err(IdentityError::Broken { .. })
        ));
    }
}
