//! Coracle: a Kubernetes-compatible cluster that small boards carry.
//!
//! ARCHITECTURE.md is the map. Modules stand here from the ground floor up;
//! each may use those above it in this list and none below.

pub mod api;
pub mod cli;
pub mod client;
pub mod controllers;
mod crash;
pub mod exposition;
pub mod image;
pub mod kubelet;
pub mod mesh;
pub mod network;
pub mod node;
pub mod object;
pub mod profile;
pub mod raft;
pub mod runtime;
pub mod scheduler;
pub mod store;
pub mod streaming;
