//! Identity of the cluster and its members: the CA, node and client certificates, the key that signs tokens.
//!
//! Ground floor: knows nothing of Kubernetes objects.
pub mod identity;
pub mod signing;
