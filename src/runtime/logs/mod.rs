//! Container logs in CRI format: written and rotated by the shim, read by the kubelet.
//!
//! In: bytes of a container's streams. Out: files of lines `time stream tag text`
//! (tag `F`: whole, `P`: to be continued), and readers over them.
//!
//! Invariants: lines are written whole, those that come together with one system call; files sort in the order
//! they were written; a reader that falls behind rotation goes on with the oldest file there is.
//! It never knows whose container it is.

mod changes;
pub mod format;
mod reader;
mod tail;
mod writer;

pub use reader::{LogOptions, read};
pub use writer::{LogWriter, Stream};
