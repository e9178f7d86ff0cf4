//! Real containers from a busybox root filesystem. They need root; without it they say so and test nothing.
#![allow(clippy::unwrap_used)]

mod deaths;
mod node;
mod runs;
