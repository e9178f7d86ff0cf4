//! Service-account tokens: JSON Web Tokens bound to an account and, mostly, to a pod.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens>
//!
//! What comes in: accounts and the objects their tokens are bound to, as the store has them; tokens, from anybody. What
//! goes out: signed tokens; the claims of those that are genuine, or why one is refused.
//!
//! Invariants: a token is believed only while its account, and the object it is bound to, exist with the same uid. A
//! signature is checked once and remembered by the token's hash, in bounded memory; everything that can change is looked
//! up at each use. It never knows about HTTP or what the account may do.

pub mod claims;
pub mod clock;
pub mod jwt;
pub mod verify;

pub use claims::{Claims, ISSUER};
pub use verify::{Refusal, Verifier};
