//! Containers: one shim per pod, `libcontainer` inside it.
//!
//! In: sandbox and container descriptions from the kubelet, root filesystems from the image store.
//! Out: states, exits and logs; events over one channel.
//!
//! Invariants: the node process never forks; a shim outlives it and is adopted by the next one; what a
//! shim knows about an exit is kept until the run is removed, so nothing is lost while nobody listens.
//! A removed sandbox leaves no process, mount, cgroup or file below the run directory.
//!
//! It never knows about pods as API objects, images as names, or addresses.

pub mod cgroups;
mod client;
mod connection;
mod exec;
pub mod logs;
mod protocol;
pub mod seccomp;
mod shim;
mod spec;
mod types;
mod users;

pub use client::{Runtime, remove_all};
pub use exec::ExecSession;
pub(crate) use shim::received;
pub use shim::shim_main;
pub use types::*;
