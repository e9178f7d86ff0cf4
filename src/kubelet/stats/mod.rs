//! What node, pods and containers use: the part cAdvisor plays.
//!
//! What comes in: the pods of this node, and files of cgroups and /proc, read when somebody asks. What goes out: samples
//! for `/stats/summary`, the metrics pages and the eviction manager.
//!
//! Invariants: nothing is read while nobody asks; whoever asks again within a second gets the same sample. A rate is
//! the difference of two samples. Disks are walked one walk at a time, bounded, and never for more than a
//! hundredth of the time. Parsing and arithmetic are pure. It never knows about thresholds or the API.

mod disk;
mod files;
mod network;
pub mod pages;
pub mod resource_page;
mod sampler;
pub mod summary;
mod types;

pub use disk::DiskUse;
pub use files::{NodeFiles, filesystem, meminfo, same_filesystem};
pub use sampler::Stats;
pub use types::{ContainerUsage, PodDisk, PodUsage};
