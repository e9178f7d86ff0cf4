//! The columns of each kind, in upstream's order and with its words.

use super::Column;
use super::{access, cells, pod};
use serde_json::Value;

pub(super) const fn column(
    name: &'static str,
    kind: &'static str,
    priority: i32,
    description: &'static str,
    cell: fn(&Value, i64) -> Value,
) -> Column {
    Column {
        name,
        kind,
        format: "",
        description,
        priority,
        cell,
    }
}

pub(super) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources.",
    priority: 0,
    cell: cells::name,
};
pub(super) const AGE: Column = column(
    "Age",
    "string",
    0,
    "Time since the object was created.",
    cells::age,
);

/// For kinds without columns of their own.
pub const GENERIC: &[Column] = &[
    NAME,
    Column {
        name: "Created At",
        kind: "date",
        format: "",
        description: "Time the object was created.",
        priority: 0,
        cell: cells::created,
    },
];

pub const POD: &[Column] = &[
    NAME,
    column(
        "Ready",
        "string",
        0,
        "The aggregate readiness state of this pod for accepting traffic.",
        pod::ready,
    ),
    column(
        "Status",
        "string",
        0,
        "The aggregate status of the containers in this pod.",
        pod::status,
    ),
    column(
        "Restarts",
        "string",
        0,
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        pod::restarts,
    ),
    AGE,
    column(
        "IP",
        "string",
        1,
        "IP address allocated to the pod.",
        pod::address,
    ),
    column(
        "Node",
        "string",
        1,
        "Name of the node the pod runs on.",
        pod::node,
    ),
    column(
        "Nominated Node",
        "string",
        1,
        "Node the pod is expected to run on once others have been preempted.",
        pod::nominated_node,
    ),
    column(
        "Readiness Gates",
        "string",
        1,
        "Conditions the pod's readiness waits for.",
        pod::readiness_gates,
    ),
];

pub const NODE: &[Column] = &[
    NAME,
    column(
        "Status",
        "string",
        0,
        "The status of the node",
        cells::node_status,
    ),
    column(
        "Roles",
        "string",
        0,
        "The roles of the node",
        cells::node_roles,
    ),
    AGE,
    column(
        "Version",
        "string",
        0,
        "Kubelet version of the node.",
        cells::node_version,
    ),
    column(
        "Internal-IP",
        "string",
        1,
        "Address of the node inside the cluster.",
        cells::node_internal_address,
    ),
    column(
        "External-IP",
        "string",
        1,
        "Address of the node outside the cluster.",
        cells::node_external_address,
    ),
    column(
        "OS-Image",
        "string",
        1,
        "Operating system of the node.",
        cells::node_os_image,
    ),
    column(
        "Kernel-Version",
        "string",
        1,
        "Kernel of the node.",
        cells::node_kernel,
    ),
    column(
        "Container-Runtime",
        "string",
        1,
        "Container runtime of the node.",
        cells::node_runtime,
    ),
];

pub const NAMESPACE: &[Column] = &[
    NAME,
    column(
        "Status",
        "string",
        0,
        "The status of the namespace",
        cells::phase,
    ),
    AGE,
];

pub const SERVICE: &[Column] = &[
    NAME,
    column(
        "Type",
        "string",
        0,
        "How the service is exposed.",
        cells::service_type,
    ),
    column(
        "Cluster-IP",
        "string",
        0,
        "The service's address inside the cluster.",
        cells::service_cluster_address,
    ),
    column(
        "External-IP",
        "string",
        0,
        "The service's addresses outside the cluster.",
        cells::service_external_address,
    ),
    column(
        "Port(s)",
        "string",
        0,
        "The ports the service listens on.",
        cells::service_ports,
    ),
    AGE,
    column(
        "Selector",
        "string",
        1,
        "The pods traffic is sent to.",
        cells::service_selector,
    ),
];

pub const CONFIG_MAP: &[Column] = &[
    NAME,
    column(
        "Data",
        "integer",
        0,
        "Number of keys.",
        cells::config_map_data,
    ),
    AGE,
];

pub const SECRET: &[Column] = &[
    NAME,
    column(
        "Type",
        "string",
        0,
        "Used to facilitate programmatic handling of secret data.",
        cells::secret_type,
    ),
    column("Data", "integer", 0, "Number of keys.", cells::secret_data),
    AGE,
];

pub const SERVICE_ACCOUNT: &[Column] = &[
    NAME,
    column(
        "Secrets",
        "integer",
        0,
        "Number of secrets the account lists.",
        cells::account_secrets,
    ),
    AGE,
];

/// Roles of both kinds.
pub const ROLE: &[Column] = GENERIC;

/// Bindings of both kinds.
pub const ROLE_BINDING: &[Column] = &[
    NAME,
    column(
        "Role",
        "string",
        0,
        "The role the binding gives.",
        access::role,
    ),
    AGE,
    column("Users", "string", 1, "Users it is given to.", access::users),
    column(
        "Groups",
        "string",
        1,
        "Groups it is given to.",
        access::groups,
    ),
    column(
        "ServiceAccounts",
        "string",
        1,
        "Service accounts it is given to.",
        access::accounts,
    ),
];

pub const ENDPOINTS: &[Column] = &[
    NAME,
    column(
        "Endpoints",
        "string",
        0,
        "Addresses and ports traffic is sent to.",
        access::endpoints,
    ),
    AGE,
];

pub const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    column(
        "AddressType",
        "string",
        0,
        "The family of its addresses.",
        access::address_type,
    ),
    column(
        "Ports",
        "string",
        0,
        "Ports traffic is sent to.",
        access::slice_ports,
    ),
    column(
        "Endpoints",
        "string",
        0,
        "Addresses traffic is sent to.",
        access::slice_endpoints,
    ),
    AGE,
];

pub const EVENT: &[Column] = &[
    column(
        "Last Seen",
        "string",
        0,
        "Time since the event was last seen.",
        cells::event_last_seen,
    ),
    column(
        "Type",
        "string",
        0,
        "Type of this event (Normal, Warning).",
        cells::event_type,
    ),
    column(
        "Reason",
        "string",
        0,
        "Why it was reported.",
        cells::event_reason,
    ),
    column(
        "Object",
        "string",
        0,
        "What it is about.",
        cells::event_object,
    ),
    column(
        "Subobject",
        "string",
        1,
        "The part it is about.",
        cells::event_subobject,
    ),
    column(
        "Source",
        "string",
        1,
        "Who reported it.",
        cells::event_source,
    ),
    column(
        "Message",
        "string",
        0,
        "What happened.",
        cells::event_message,
    ),
    column(
        "First Seen",
        "string",
        1,
        "Time since the event was first seen.",
        cells::event_first_seen,
    ),
    column(
        "Count",
        "string",
        1,
        "How often it was seen.",
        cells::event_count,
    ),
    Column {
        priority: 1,
        ..NAME
    },
];
