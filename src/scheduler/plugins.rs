//! Names for the filters, in sets: which of them kept a pod waiting.

/// A set of filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plugins(u8);

impl Plugins {
    pub const CORDON: Plugins = Plugins(1);
    pub const TAINTS: Plugins = Plugins(1 << 1);
    pub const NODE_AFFINITY: Plugins = Plugins(1 << 2);
    pub const PORTS: Plugins = Plugins(1 << 3);
    pub const ROOM: Plugins = Plugins(1 << 4);
    pub const VOLUMES: Plugins = Plugins(1 << 5);
    pub const SPREAD: Plugins = Plugins(1 << 6);
    pub const INTER_POD: Plugins = Plugins(1 << 7);
    pub const ALL: Plugins = Plugins(u8::MAX);

    pub fn add(&mut self, other: Plugins) {
        self.0 |= other.0;
    }

    /// Whether they have one in common.
    pub fn meets(self, other: Plugins) -> bool {
        self.0 & other.0 != 0
    }
}
