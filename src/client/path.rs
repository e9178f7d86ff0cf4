//! Paths of resources. <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in one segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` as one segment of a path: nothing a user types can leave its place.
pub fn encode(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// The path of a collection, or of an object in it.
///
/// ```
/// use coracle::client::object_path;
/// assert_eq!(object_path("", "v1", "pods", Some("default"), Some("web"), Some("status")),
///            "/api/v1/namespaces/default/pods/web/status");
/// assert_eq!(object_path("apps", "v1", "deployments", None, None, None), "/apis/apps/v1/deployments");
/// ```
pub fn object_path(
    group: &str,
    version: &str,
    plural: &str,
    namespace: Option<&str>,
    name: Option<&str>,
    subresource: Option<&str>,
) -> String {
    let mut path = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    if let Some(namespace) = namespace {
        path.push_str("/namespaces/");
        path.push_str(&encode(namespace));
    }
    path.push('/');
    path.push_str(plural);
    for segment in [name, subresource].into_iter().flatten() {
        path.push('/');
        path.push_str(&encode(segment));
    }
    path
}

/// Appends a query to a path; nothing where there are no pairs.
pub(super) fn with_query(path: String, pairs: &[(&str, String)]) -> String {
    if pairs.is_empty() {
        return path;
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    format!("{path}?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_segment() {
        for (name, expected) in [
            ("web-1.a", "web-1.a"),
            ("../x", "..%2Fx"),
            ("..", "%2E%2E"),
            ("a?b#c", "a%3Fb%23c"),
        ] {
            assert_eq!(encode(name), expected);
        }
    }

    #[test]
    fn queries_are_encoded() {
        let pairs = [("labelSelector", "app=web,!old".to_owned())];
        assert_eq!(
            with_query("/api/v1/pods".to_owned(), &pairs),
            "/api/v1/pods?labelSelector=app%3Dweb%2C%21old"
        );
        assert_eq!(with_query("/api".to_owned(), &[]), "/api");
    }
}
