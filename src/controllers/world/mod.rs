//! What all controllers decide from: the objects of every kind they watch, each kind once.
//!
//! What comes in: lists and watches (`feed`), and the answers to the controllers' own writes, so that a decision
//! always sees what the one before it did. What goes out: objects and the changes between them. Invariants: versions
//! of an object only get newer; nothing here writes, waits or asks. As large as the objects there are; of pods,
//! which are many, only what is looked at is kept, and pod templates are kept as text (`folded`).

mod feed;
mod few;
mod folded;
pub mod graph;
pub mod heartbeats;
mod pod;
mod table;
pub mod usage;

pub use feed::{Feed, Stream};
pub use folded::Folded;
pub use pod::{ContainerStatusView, ContainerView, PodView, TerminatedView};
pub use table::{Diff, Key, Table, Watched, controller, key};

use crate::client::informer::{Event, Scope};
use crate::object::selector::FieldSelector;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::autoscaling::v2 as autoscaling;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::api::storage::v1 as storage;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// One line per kind: the table's name, the change's name, the type, and which objects of it.
macro_rules! world {
    ($($table:ident $variant:ident $kind:ty, $scope:expr;)*) => {
        #[derive(Debug, Default)]
        pub struct World {
            $(pub $table: Table<$kind>,)*
            /// Owners and dependents of every kind.
            pub graph: graph::Graph,
            /// What pods use, and what autoscalers made of that.
            pub usage: usage::Usage,
            /// What has been heard of the nodes.
            pub heartbeats: heartbeats::Heartbeats,
        }

        /// What changed, as controllers hear of it.
        #[derive(Debug)]
        pub enum Change {
            $($variant(Diff<$kind>),)*
            /// The owners or dependents of the object with this uid.
            Relation(u128),
            /// Objects have come or gone in this namespace.
            Population(Arc<str>),
            /// What pods use has been measured.
            Usage,
            /// How long the node of this name has been silent, or gone though pods are bound to it.
            Heartbeat(String),
        }

        /// News of one kind.
        #[derive(Debug)]
        // One exists at a time, on its way into the world.
        #[allow(clippy::large_enum_variant)]
        pub enum News {
            $($variant(Event<$kind>),)*
            /// The kinds that have owners and dependents.
            Kinds(Vec<Arc<graph::Resource>>),
            /// Metadata of such a kind.
            Meta(Arc<graph::Resource>, Event<graph::Meta>),
            /// What the pods of namespaces with autoscalers use now.
            Usage(usage::Measured),
            /// A look at the nodes' leases.
            Heartbeats(heartbeats::Round),
        }

        impl World {
            /// Whether every kind has been listed: before, nothing is decided.
            pub fn is_known(&self) -> bool {
                self.graph.is_known() $(&& self.$table.is_known())*
            }

            /// Every object's version, by kind.
            #[cfg(test)]
            pub fn versions(&self) -> std::collections::BTreeMap<(&'static str, Key), Option<String>> {
                let mut versions = std::collections::BTreeMap::new();
                $(for object in self.$table.iter() {
                    let meta = k8s_openapi::Metadata::metadata(object.as_ref());
                    versions.insert((stringify!($table), key(meta)), meta.resource_version.clone());
                })*
                versions
            }

            /// What the watches told.
            pub fn take_in(&mut self, news: News) -> Vec<Change> {
                match news {
                    $(News::$variant(event) => {
                        self.$table.take_in(event).into_iter().map(Change::$variant).collect()
                    })*
                    News::Kinds(kinds) => {
                        self.graph.expect(&kinds);
                        Vec::new()
                    }
                    News::Meta(kind, event) => {
                        let touched = self.graph.take_in(&kind, event);
                        let moved = self.graph.take_moved().into_iter();
                        let touched = touched.into_iter().map(Change::Relation);
                        touched.chain(moved.map(Change::Population)).collect()
                    }
                    News::Usage(measured) => {
                        self.usage.measured = measured;
                        vec![Change::Usage]
                    }
                    News::Heartbeats(round) => {
                        let touched = self.heartbeats.take_in(round, &self.nodes, &self.pods);
                        touched.into_iter().map(Change::Heartbeat).collect()
                    }
                }
            }

            /// The object a write was answered with; kinds that nobody watches are nothing to learn.
            pub fn learn(&mut self, object: &Value) -> Option<Change> {
                let (version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
                $(if is::<$kind>(version, kind) && selects(&$scope, object) {
                    return self.$table.learn(decode(object)?).map(Change::$variant);
                })*
                None
            }

            /// A write was answered with the end of the object of this kind.
            pub fn unlearn(&mut self, version: &str, kind: &str, key: &Key, uid: &str) -> Option<Change> {
                $(if is::<$kind>(version, kind) {
                    return self.$table.unlearn(key, uid).map(Change::$variant);
                })*
                None
            }
        }

        /// A list and watch of each kind, the one of relations last.
        pub fn streams(client: &crate::client::Client) -> Vec<feed::Stream> {
            vec![
                $(feed::stream(client, $scope, News::$variant),)*
                feed::relations(client),
            ]
        }
    };
}

world! {
    pods Pod PodView, Scope::default();
    nodes Node core::Node, Scope::default();
    namespaces Namespace core::Namespace, Scope::default();
    service_accounts ServiceAccount core::ServiceAccount, Scope::default();
    authorities Authority core::ConfigMap, named(super::root_ca::NAME);
    cluster_roles ClusterRole rbac::ClusterRole, Scope::default();
    volumes Volume core::PersistentVolume, Scope::default();
    claims Claim core::PersistentVolumeClaim, Scope::default();
    classes Class storage::StorageClass, Scope::default();
    deployments Deployment Folded<apps::Deployment>, Scope::default();
    replica_sets ReplicaSet Folded<apps::ReplicaSet>, Scope::default();
    replication_controllers ReplicationController core::ReplicationController, Scope::default();
    daemon_sets DaemonSet apps::DaemonSet, Scope::default();
    stateful_sets StatefulSet apps::StatefulSet, Scope::default();
    revisions Revision apps::ControllerRevision, Scope::default();
    jobs Job batch::Job, Scope::default();
    cron_jobs CronJob batch::CronJob, Scope::default();
    services Service core::Service, Scope::default();
    endpoints Endpoints core::Endpoints, Scope::default();
    slices Slice discovery::EndpointSlice, Scope::default();
    disruption_budgets DisruptionBudget policy::PodDisruptionBudget, Scope::default();
    autoscalers Autoscaler autoscaling::HorizontalPodAutoscaler, Scope::default();
    quotas Quota core::ResourceQuota, Scope::default();
    token_secrets TokenSecret core::Secret, field(super::token_secret::SELECTOR);
}

/// Whether the watch of this scope would tell of the object: what it will never tell of, it will never take back.
fn selects(scope: &Scope, object: &Value) -> bool {
    let fields = scope.field_selector.as_deref().unwrap_or_default();
    FieldSelector::parse(fields, &[("type", "/type")])
        .is_ok_and(|selector| selector.matches_object(object))
}

/// Only objects of this name.
fn named(name: &str) -> Scope {
    Scope {
        field_selector: Some(format!("metadata.name={name}")),
        ..Scope::default()
    }
}

/// Only objects whose fields are so.
fn field(selector: &str) -> Scope {
    Scope {
        field_selector: Some(selector.to_owned()),
        ..Scope::default()
    }
}

fn is<T: Resource>(version: &str, kind: &str) -> bool {
    T::API_VERSION == version && T::KIND == kind
}

/// What cannot be read is not learnt: the watch will tell of it, and complain.
fn decode<T: DeserializeOwned>(object: &Value) -> Option<T> {
    T::deserialize(object).ok()
}

impl World {
    /// Of autoscalers that are gone nothing is remembered.
    pub fn remember(&mut self, note: &usage::Note) {
        let autoscalers = &self.autoscalers;
        self.usage
            .memory
            .retain(|key, _| autoscalers.get(key).is_some());
        if autoscalers.get(&note.autoscaler).is_some() {
            self.usage.remember(note);
        }
    }

    /// A world of these objects, for tables of tests.
    #[cfg(test)]
    pub fn of(objects: &[Value]) -> World {
        let mut world = World::default();
        for (index, object) in objects.iter().enumerate() {
            let mut object = object.clone();
            if object["metadata"]["resourceVersion"].is_null() {
                object["metadata"]["resourceVersion"] = (index + 1).to_string().into();
            }
            assert!(world.learn(&object).is_some(), "not learnt: {object}");
        }
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_the_watch_will_tell_of_is_learnt() {
        let map = |name: &str| {
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "a", "name": name, "resourceVersion": "1"}})
        };
        let mut world = World::default();
        assert!(world.learn(&map("other")).is_none());
        assert!(
            world
                .learn(&map(crate::controllers::root_ca::NAME))
                .is_some()
        );
    }
}
