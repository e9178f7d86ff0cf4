//! Container logs in CRI format: written and rotated by the shim, read by the kubelet.
//!
//! In: bytes of a container's streams. Out: files of lines `time stream tag text`
//! (tag `F`: whole, `P`: to be continued), and readers over them.
//!
//! Invariants: a line is written with one system call; a reader holds one block at a time.
//! It never knows whose container it is.

mod format;
mod reader;
mod writer;

pub use reader::{LogOptions, read};
pub use writer::{LogWriter, Stream};
