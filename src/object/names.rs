//! Names as Kubernetes allows them.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>

/// RFC 1123 subdomain, at most 253 bytes. The error is upstream's wording of the rule.
pub fn check_subdomain(_name: &str) -> Result<(), String> {
    todo!()
}
/// RFC 1123 label, at most 63 bytes.
pub fn check_label(_name: &str) -> Result<(), String> {
    todo!()
}
