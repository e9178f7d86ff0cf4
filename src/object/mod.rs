//! The Kubernetes object model: names, selectors, quantities.
//!
//! What comes in: strings and JSON from outside. What goes out: types that cannot be wrong.
//! Knows nothing of storage, HTTP or nodes; every function here is pure.

pub mod access;
pub mod amount;
pub mod claims;
pub mod cron;
pub mod duration;
pub mod names;
pub mod node_selector;
pub mod quantity;
pub mod quota;
pub mod selector;
pub mod storage;
pub mod taint;
pub mod time;

mod field_selector;
mod label_selector;
