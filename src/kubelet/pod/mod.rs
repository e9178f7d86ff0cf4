//! A pod's life as a pure state machine.
//!
//! What comes in: the pod as the API has it, what the runtime said of its containers, and the time.
//! What goes out: [`decide::Action`]s for the worker to carry out, and the status to report.
//!
//! Invariants: nothing here waits, reads a clock or touches the machine; the same state and time give the same
//! actions. A container's attempt number is its restart count. It never knows about the API client, directories or
//! network addresses beyond the strings it reports.

pub mod backoff;
pub mod conditions;
pub mod decide;
pub mod ephemeral;
pub mod health;
pub mod patch;
pub mod phase;
mod rebuild;
pub mod record;
pub mod resize;
pub mod restart;
pub mod state;
pub mod status;
mod stop;

#[cfg(test)]
mod tests;
