//! The cells of role bindings, and of where services' traffic goes.

use crate::object::access::{integer, list, text};
use serde_json::Value;

/// Upstream's printers show three of a list, and how many more there are.
const SHOWN_MAX: usize = 3;

pub fn role(binding: &Value, _now: i64) -> Value {
    let role = |field: &str| text(binding, &format!("/roleRef/{field}")).to_owned();
    format!("{}/{}", role("kind"), role("name")).into()
}

fn subjects(binding: &Value, kind: &str, name: impl Fn(&Value) -> String) -> Value {
    let names: Vec<String> = list(binding, "/subjects")
        .iter()
        .filter(|subject| text(subject, "/kind") == kind)
        .map(name)
        .collect();
    names.join(", ").into()
}

pub fn users(binding: &Value, _now: i64) -> Value {
    subjects(binding, "User", |one| text(one, "/name").to_owned())
}

pub fn groups(binding: &Value, _now: i64) -> Value {
    subjects(binding, "Group", |one| text(one, "/name").to_owned())
}

pub fn accounts(binding: &Value, _now: i64) -> Value {
    subjects(binding, "ServiceAccount", |one| {
        format!("{}/{}", text(one, "/namespace"), text(one, "/name"))
    })
}

/// `a,b,c + 2 more...`
fn some_of(all: &[String], none: &str) -> Value {
    if all.is_empty() {
        return none.into();
    }
    let shown = all[..all.len().min(SHOWN_MAX)].join(",");
    match all.len().checked_sub(SHOWN_MAX) {
        None | Some(0) => shown.into(),
        Some(more) => format!("{shown} + {more} more...").into(),
    }
}

pub fn endpoints(object: &Value, _now: i64) -> Value {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        let ports = list(subset, "/ports");
        for address in list(subset, "/addresses") {
            let ip = text(address, "/ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            for port in ports {
                all.push(format!("{ip}:{}", integer(port, "/port")));
            }
        }
    }
    some_of(&all, "<none>")
}

pub fn address_type(slice: &Value, _now: i64) -> Value {
    text(slice, "/addressType").into()
}

pub fn slice_ports(slice: &Value, _now: i64) -> Value {
    let all: Vec<String> = list(slice, "/ports")
        .iter()
        .map(|port| match port["port"].as_i64() {
            Some(number) => number.to_string(),
            None => "*".to_owned(),
        })
        .collect();
    some_of(&all, "<unset>")
}

pub fn slice_endpoints(slice: &Value, _now: i64) -> Value {
    let all: Vec<String> = list(slice, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    some_of(&all, "<unset>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bindings_and_endpoints() {
        let binding = json!({
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [
                {"kind": "User", "name": "a"}, {"kind": "User", "name": "b"}, {"kind": "Group", "name": "g"},
                {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"},
            ],
        });
        assert_eq!(role(&binding, 0), "ClusterRole/view");
        assert_eq!(users(&binding, 0), "a, b");
        assert_eq!(groups(&binding, 0), "g");
        assert_eq!(accounts(&binding, 0), "ns/sa");
        let object = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 1}, {"port": 2}]}]});
        assert_eq!(
            endpoints(&object, 0),
            "10.0.0.1:1,10.0.0.1:2,10.0.0.2:1 + 1 more..."
        );
        assert_eq!(endpoints(&json!({}), 0), "<none>");
        let slice = json!({"addressType": "IPv4", "ports": [{"port": 6443}], "endpoints": [{"addresses": ["10.0.0.1"]}]});
        assert_eq!(slice_ports(&slice, 0), "6443");
        assert_eq!(slice_endpoints(&slice, 0), "10.0.0.1");
        assert_eq!(slice_endpoints(&json!({}), 0), "<unset>");
    }
}
