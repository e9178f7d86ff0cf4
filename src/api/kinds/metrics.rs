//! `metrics.k8s.io`: what nodes and pods use now. Computed when asked for (`api/metrics.rs`), never stored.

use super::{Checked, Kind, Strategy, Subresource};
use crate::api::table;

pub const GROUP: &str = "metrics.k8s.io";

/// Nothing is ever written.
struct Computed;

impl Strategy for Computed {}

const NO_PARTS: &[Subresource] = &[];

pub const NODE_METRICS: Kind = Kind::new(GROUP, "NodeMetrics", ["nodes", ""], &Computed, |_| {
    Checked {
        wrong_type: None,
        unknown: Vec::new(),
    }
})
.version("v1beta1")
.cluster_wide()
.parts(NO_PARTS)
.columns(table::METRICS);

pub const POD_METRICS: Kind =
    Kind::new(GROUP, "PodMetrics", ["pods", ""], &Computed, |_| Checked {
        wrong_type: None,
        unknown: Vec::new(),
    })
    .version("v1beta1")
    .parts(NO_PARTS)
    .columns(table::METRICS);
