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

mod attach;
mod cgroup_usage;
pub mod cgroups;
mod client;
mod connection;
mod exec;
mod held;
pub mod logs;
mod look;
mod mount_api;
pub mod mount_info;
mod protocol;
pub mod seccomp;
mod shim;
mod shim_stream;
mod spec;
pub mod subpath;
mod terminal;
mod types;
mod users;

pub use attach::AttachSession;
pub use cgroup_usage::{CgroupReader, CgroupUsage};
pub use client::{Runtime, remove_all};
pub use exec::ExecSession;
pub use look::{Seen, ShimState, look};
pub(crate) use mount_api::own_fd;
pub use shim::shim_main;
pub use shim_stream::{Input, Output};
pub use types::*;
