//! OpenAPI v3 (`/openapi/v3`): enough for kubectl to validate on the server.

use super::kinds::Kind;
use serde_json::Value;

/// The index at `/openapi/v3`: `paths` to one document per group version.
pub fn index(_kinds: &[Kind]) -> Value {
    todo!()
}

/// The document of one group version (`api/v1`, `apis/apps/v1`); `None`: not served.
pub fn document(_kinds: &[Kind], _group_version: &str) -> Option<Value> {
    todo!()
}
