//! Label and field selectors.

use serde_json::Value;
use std::collections::BTreeMap;

/// A parsed label selector (`app=web,tier in (a,b),!old`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {}

impl LabelSelector {
    pub fn parse(_text: &str) -> Result<LabelSelector, String> {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn matches(&self, _labels: &BTreeMap<String, String>) -> bool {
        todo!()
    }
    /// Matches against `metadata.labels` of an object.
    pub fn matches_object(&self, _object: &Value) -> bool {
        todo!()
    }
}

/// A parsed field selector (`spec.nodeName=a,status.phase!=Failed`): only fields the kind allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {}

impl FieldSelector {
    /// `selectable`: (name, JSON pointer) of the kind, metadata.name and metadata.namespace are always allowed.
    pub fn parse(_text: &str, _selectable: &[(&str, &str)]) -> Result<FieldSelector, String> {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn matches_object(&self, _object: &Value) -> bool {
        todo!()
    }
    /// The value an equality on metadata.name asks for: the list can then be one get.
    pub fn name(&self) -> Option<&str> {
        todo!()
    }
}
