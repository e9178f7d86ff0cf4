//! Words that the parts dealing with persistent volumes agree on.

/// The provisioner built into every node: directories on its disk.
pub const LOCAL_PATH_PROVISIONER: &str = "coracle.dev/local-path";
/// The class every cluster has from the start.
pub const LOCAL_PATH_CLASS: &str = "local-path";
/// Provisioner of classes whose volumes people make themselves.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// <https://kubernetes.io/docs/reference/labels-annotations-taints/>
pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The node a claim's volume is to be made on.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Who is to make it.
pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// On a volume: who has made it.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The binding is complete on both sides.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The controller has filled in `claimRef` or `volumeName`, not a user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
pub const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
pub const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";
