//! Where images come from: endpoints for a name, and the credentials that each may be given.
//!
//! In come the node's files (`registries.yaml` in k3s's format, docker's `config.json`) and what pods bring
//! (`imagePullSecrets`). Out go endpoints in the order in which they are tried, each with its credentials. Reading the
//! files is all the I/O there is: once per pull, so that a change needs no restart.
//!
//! Invariants: secrets are held in memory only, for the length of one pull, and shown by no `Debug`. A pod's credentials
//! go to no host but the one they name.

mod endpoints;
mod files;
mod glob;
mod keyring;
mod registries;

#[cfg(test)]
mod keyring_tests;

pub use files::ConfigFiles;
pub use keyring::{Credentials, Keyring};

pub(super) use endpoints::{Endpoint, endpoints};
pub(super) use files::Sources;
pub(super) use glob::matches;
pub(super) use registries::{Registries, Tls};
