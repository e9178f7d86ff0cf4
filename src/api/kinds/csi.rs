//! CSI's own kinds: they can be listed, as clients do, and are always empty.
//!
//! A CSIDriver, CSINode, CSIStorageCapacity or VolumeAttachment only means something where CSI volumes are made; here
//! volumes of that kind are refused, so these objects are too, rather than kept and ignored.

use super::{FieldError, Strategy};
use serde_json::Value;

pub struct Csi;

impl Strategy for Csi {
    fn validate_create(&self, _object: &Value) -> Vec<FieldError> {
        let detail = "CSI drivers are not supported by this version of Coracle: use the class local-path, hostPath or local volumes";
        vec![FieldError::forbidden("spec", detail)]
    }
}
