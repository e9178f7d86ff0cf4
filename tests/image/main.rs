//! Images with a real registry (Debian's `docker-registry`, `skopeo`) and real overlay mounts. Needs root and no network.
#![allow(clippy::unwrap_used)]

mod archives;
mod imports;
mod pulls;
mod registry;
mod store;
