//! Label and field selectors.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>

pub use super::field_selector::FieldSelector;
pub use super::label_selector::{LabelSelector, written};
