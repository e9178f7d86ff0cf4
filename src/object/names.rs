//! Names as Kubernetes allows them.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
//!
//! Wording of the errors: upstream's `k8s.io/apimachinery/pkg/util/validation`.

/// RFC 1123, section 2.1.
const LABEL_LENGTH_MAX: usize = 63;
/// RFC 1035, section 2.3.4, less the length octets.
const SUBDOMAIN_LENGTH_MAX: usize = 253;
/// Upstream's limit on the name part of a qualified name and on a label's value.
const QUALIFIED_LENGTH_MAX: usize = 63;

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const DATA_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn is_label(name: &str) -> bool {
    let edge =
        |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(name.bytes().next())
        && edge(name.bytes().last())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_qualified_part(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
    edge(name.bytes().next())
        && edge(name.bytes().last())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// RFC 1123 subdomain, at most 253 bytes. The error is upstream's wording of the rule.
pub fn check_subdomain(name: &str) -> Result<(), String> {
    if name.len() > SUBDOMAIN_LENGTH_MAX {
        return Err(too_long(SUBDOMAIN_LENGTH_MAX));
    }
    if name.split('.').all(is_label) {
        Ok(())
    } else {
        Err(SUBDOMAIN_RULE.into())
    }
}

/// RFC 1123 label, at most 63 bytes.
pub fn check_label(name: &str) -> Result<(), String> {
    if name.len() > LABEL_LENGTH_MAX {
        return Err(too_long(LABEL_LENGTH_MAX));
    }
    if is_label(name) {
        Ok(())
    } else {
        Err(LABEL_RULE.into())
    }
}

/// RFC 1035 label (a Service's name), at most 63 bytes.
pub fn check_label_1035(name: &str) -> Result<(), String> {
    if name.len() > LABEL_LENGTH_MAX {
        return Err(too_long(LABEL_LENGTH_MAX));
    }
    if is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Ok(())
    } else {
        Err(LABEL_1035_RULE.into())
    }
}

/// A label's or annotation's key: `[prefix/]name`.
pub fn check_qualified(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        None => key,
        Some((_, name)) if name.contains('/') => {
            return Err(format!(
                "a qualified name {QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
        }
        Some(("", _)) => return Err("prefix part must be non-empty".into()),
        Some((prefix, name)) => {
            check_subdomain(prefix).map_err(|rule| format!("prefix part {rule}"))?;
            name
        }
    };
    if name.is_empty() {
        return Err("name part must be non-empty".into());
    }
    if name.len() > QUALIFIED_LENGTH_MAX {
        return Err(format!("name part {}", too_long(QUALIFIED_LENGTH_MAX)));
    }
    if is_qualified_part(name) {
        Ok(())
    } else {
        Err(format!("name part {QUALIFIED_RULE}"))
    }
}

/// A label's value: empty, or like the name part of a key.
pub fn check_label_value(value: &str) -> Result<(), String> {
    if value.len() > QUALIFIED_LENGTH_MAX {
        return Err(too_long(QUALIFIED_LENGTH_MAX));
    }
    if value.is_empty() || is_qualified_part(value) {
        Ok(())
    } else {
        Err(LABEL_VALUE_RULE.into())
    }
}

/// What can stand between two slashes of a path: names of roles and bindings.
pub fn check_path_segment(name: &str) -> Result<(), String> {
    if matches!(name, "." | "..") {
        return Err(format!("may not be '{name}'"));
    }
    match name.chars().find(|c| matches!(c, '/' | '%')) {
        Some(found) => Err(format!("may not contain '{found}'")),
        None => Ok(()),
    }
}

/// A key of a ConfigMap or Secret: it becomes a file name, so `.` and `..*` are refused.
pub fn check_data_key(key: &str) -> Result<(), String> {
    if key.len() > SUBDOMAIN_LENGTH_MAX {
        return Err(too_long(SUBDOMAIN_LENGTH_MAX));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if key.is_empty() || !key.bytes().all(legal) {
        return Err(DATA_KEY_RULE.into());
    }
    match key {
        "." => Err("must not be '.'".into()),
        ".." => Err("must not be '..'".into()),
        _ if key.starts_with("..") => Err("must not start with '..'".into()),
        _ => Ok(()),
    }
}

/// The name of an environment variable: any printable ASCII but `=`.
pub fn check_environment_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        Ok(())
    } else {
        Err("a valid environment variable name must consist only of printable ASCII characters other than '='".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, label, subdomain) in [
            ("a", true, true),
            ("0-a", true, true),
            ("a.b", false, true),
            ("a..b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("A", false, false),
            ("", false, false),
            ("a_b", false, false),
            ("ä", false, false),
        ] {
            assert_eq!(check_label(name).is_ok(), label, "label {name}");
            assert_eq!(check_subdomain(name).is_ok(), subdomain, "subdomain {name}");
        }
        assert!(check_label(&"a".repeat(63)).is_ok());
        assert_eq!(
            check_label(&"a".repeat(64)),
            Err("must be no more than 63 bytes".to_owned())
        );
        assert!(check_subdomain(&"a".repeat(254)).is_err());
        assert!(check_label_1035("1a").is_err());
    }

    #[test]
    fn keys_and_values() {
        for (key, good) in [
            ("app", true),
            ("app.kubernetes.io/name", true),
            ("Example_1", true),
            ("/a", false),
            ("a/", false),
            ("a/b/c", false),
            ("UP/a", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(check_qualified(key).is_ok(), good, "{key}");
        }
        assert!(check_label_value("").is_ok());
        assert!(check_label_value("a b").is_err());
        for (key, good) in [
            ("a.b_C-1", true),
            (".", false),
            ("..", false),
            ("..a", false),
            (".a", true),
            ("a/b", false),
        ] {
            assert_eq!(check_data_key(key).is_ok(), good, "{key}");
        }
        assert!(check_environment_name("A=B").is_err());
        assert!(check_environment_name("a.b").is_ok());
    }
}
