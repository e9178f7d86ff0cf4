//! Images with a real registry (Debian's `docker-registry`, `skopeo`) and real overlay mounts. Needs root and no network.
#![allow(clippy::unwrap_used)]

mod archives;
mod crashes;
mod credentials;
mod fake;
mod formats;
mod imports;
mod memory;
mod mirrors;
mod pulls;
mod registry;
mod store;
mod transfers;
mod upkeep;
