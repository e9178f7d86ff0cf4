//! Objects that are mostly a pod template, with the template's spec folded to its JSON: decoded it is ten times as
//! large, and only who makes pods of it, or another object, asks for it.

use k8s_openapi::Metadata;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use std::ops::Deref;

/// Where a kind has the spec of its pods.
pub trait Templated {
    /// `None`: there is no template.
    fn pods(&mut self) -> Option<&mut Option<PodSpec>>;
}

impl Templated for Deployment {
    fn pods(&mut self) -> Option<&mut Option<PodSpec>> {
        Some(&mut self.spec.template.spec)
    }
}

impl Templated for ReplicaSet {
    fn pods(&mut self) -> Option<&mut Option<PodSpec>> {
        self.spec
            .template
            .as_mut()
            .map(|template| &mut template.spec)
    }
}

/// Reads as the object without the spec of its pods: whoever wants that takes [`Folded::whole`].
#[derive(Debug, Clone, PartialEq)]
pub struct Folded<T> {
    rest: T,
    pods: Option<Box<str>>,
}

/// The spec of pods as its JSON, which is the same text for equal specs: fields and maps are written in order.
pub fn fold(pods: &PodSpec) -> Option<Box<str>> {
    // Writing a spec cannot fail: its keys are strings.
    serde_json::to_string(pods).ok().map(String::into_boxed_str)
}

impl<T: Templated + Clone> Folded<T> {
    pub fn of(mut object: T) -> Folded<T> {
        let pods = object.pods().and_then(Option::take);
        let pods = pods.as_ref().and_then(fold);
        Folded { rest: object, pods }
    }

    /// The object as it was.
    pub fn whole(&self) -> T {
        let mut object = self.rest.clone();
        if let Some(place) = object.pods() {
            let text = self.pods.as_deref();
            // It was written by `fold`.
            *place = text.and_then(|text| serde_json::from_str(text).ok());
        }
        object
    }

    /// Whether its pods are specified like this.
    pub fn has_pods(&self, pods: Option<&PodSpec>) -> bool {
        self.pods == pods.and_then(fold)
    }
}

impl<T> Deref for Folded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.rest
    }
}

impl<'a, T: Templated + Clone + Deserialize<'a>> Deserialize<'a> for Folded<T> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Folded<T>, D::Error> {
        T::deserialize(deserializer).map(Folded::of)
    }
}

impl<T: Resource> Resource for Folded<T> {
    const API_VERSION: &'static str = T::API_VERSION;
    const GROUP: &'static str = T::GROUP;
    const KIND: &'static str = T::KIND;
    const VERSION: &'static str = T::VERSION;
    const URL_PATH_SEGMENT: &'static str = T::URL_PATH_SEGMENT;
    type Scope = T::Scope;
}

impl<T: Metadata<Ty = ObjectMeta>> Metadata for Folded<T> {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        self.rest.metadata()
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        self.rest.metadata_mut()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_comes_back_as_it_was() {
        let set = |image: &str| -> ReplicaSet {
            serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": {"replicas": 2,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"z": "1", "a": "2"},
                    "containers": [{"name": "c", "image": image, "env": [{"name": "E", "value": "1"}]}]}}}}))
            .unwrap()
        };
        let pods = |set: &ReplicaSet| set.spec.template.clone().unwrap().spec;
        let (one, two) = (set("i:1"), set("i:2"));
        let folded = Folded::of(one.clone());
        assert_eq!(folded.whole(), one);
        assert_eq!(folded.spec.replicas, Some(2));
        assert!(folded.has_pods(pods(&one).as_ref()));
        assert!(!folded.has_pods(pods(&two).as_ref()) && !folded.has_pods(None));
        let bare: ReplicaSet = serde_json::from_value(json!({"spec": {"selector": {}}})).unwrap();
        assert_eq!(Folded::of(bare.clone()).whole(), bare);
        assert!(Folded::of(bare).has_pods(None));
    }
}
