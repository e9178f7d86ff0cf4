//! `metrics.k8s.io`: what nodes and pods use now. Computed when asked for (`api/metrics.rs`), never stored.

use super::{Checked, Kind, Strategy, Subresource};
use crate::api::table;

pub const GROUP: &str = "metrics.k8s.io";

/// Nothing is ever written.
struct Computed;

impl Strategy for Computed {}

const NO_PARTS: &[Subresource] = &[];

pub const NODE_METRICS: Kind = Kind {
    group: GROUP,
    version: "v1beta1",
    kind: "NodeMetrics",
    plural: "nodes",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: false,
    subresources: NO_PARTS,
    selectable: &[],
    columns: table::METRICS,
    strategy: &Computed,
    check: |_| Checked {
        wrong_type: None,
        unknown: Vec::new(),
    },
};

pub const POD_METRICS: Kind = Kind {
    group: GROUP,
    version: "v1beta1",
    kind: "PodMetrics",
    plural: "pods",
    singular: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: NO_PARTS,
    selectable: &[],
    columns: table::METRICS,
    strategy: &Computed,
    check: |_| Checked {
        wrong_type: None,
        unknown: Vec::new(),
    },
};
