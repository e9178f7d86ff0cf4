//! `kubectl get`'s columns (meta.k8s.io/v1 Table).

use serde_json::Value;

/// One column of a kind.
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `date`
    pub kind: &'static str,
    pub format: &'static str,
    pub description: &'static str,
    /// 0: always shown; 1: with `-o wide`.
    pub priority: i32,
    /// The cell for an object; `now` is Unix seconds.
    pub cell: fn(&Value, i64) -> Value,
}

/// How much of each object a Table carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

/// A Table of `objects`; `list_metadata` becomes its metadata; `headers` false for later watch events.
pub fn table(
    _columns: &[Column],
    _objects: &[Value],
    _list_metadata: Value,
    _include: IncludeObject,
    _headers: bool,
    _now: i64,
) -> Value {
    todo!()
}
