//! Node-pressure eviction: gives up pods before the machine gives up.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/>
//!
//! What comes in: thresholds (profile and command line), what is available now, what pods use. What goes out: the node's
//! pressure, verdicts on pods through the manager, and requests to collect what nobody uses.
//!
//! Invariants: deciding is pure (`decide`, `rank`, `storage`, `message`), time is an argument; one pod is given up at a
//! time and its end is awaited; critical pods are spared; what can be had without a pod is taken first. Idle it reads
//! four small files in ten seconds. It never knows how a pod is stopped.

mod decide;
mod message;
mod observe;
mod pressure;
mod rank;
mod run;
mod settings;
mod storage;
mod threshold;

pub use message::binary;
pub use pressure::{Pressure, admit};
pub use run::{Manager, Parts};
pub use settings::{Flags, ImageGc, Reserved, Settings};
pub use threshold::Signal;

/// The order to a pod's worker to give its pod up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    pub message: String,
    /// Milliseconds containers have to end by themselves.
    pub grace_ms: i64,
    /// The node's trouble, not the pod's own excess: the pod gets the condition DisruptionTarget.
    pub disrupted: bool,
}

/// Reason of status, event and admission (upstream's).
pub const REASON: &str = "Evicted";
