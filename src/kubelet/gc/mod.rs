//! Collects what nobody uses: images when the disk fills, directories whose pods are gone.
//! <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#containers-images>
//!
//! What comes in: the disk's state every five minutes, and calls of the eviction manager. What goes out: removals
//! through the image store and the file system. Ended containers need no collector: a pod's worker keeps the newest
//! run of each container and removes the one before it when it starts the next.
//!
//! Invariants: which images go is decided by a pure function; an image that a pod here names is never removed; nothing
//! is written to remember use: it is seen anew after a restart. It never knows why a pod is gone.

mod directories;
mod images;
mod run;

pub use run::Collector;
