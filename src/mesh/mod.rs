//! Identity of the cluster and its members: the CA, node and client certificates.
//!
//! Ground floor: knows nothing of Kubernetes objects.
pub mod identity;
