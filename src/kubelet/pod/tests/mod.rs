//! Tables of a pod's life.

#![allow(clippy::unwrap_used)]

mod sidecars;
mod starts;
mod status;
mod stops;
pub mod world;
