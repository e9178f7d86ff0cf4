//! The kinds of access: every field they describe is one that the kind has.

use super::bounds::everything;
use super::{entry, envelope, field, int, message};
use crate::api::kinds;
use crate::api::protobuf::{decode, tables};
use serde_json::json;

#[test]
fn every_field_of_access_is_one_that_the_kind_has() {
    let mut seen = 0;
    for kind in kinds::all() {
        let version = crate::api::body::api_version(kind);
        let access = kind.group.starts_with("auth") || kind.group.starts_with("rbac");
        if !access && kind.group != "discovery.k8s.io" && kind.kind != "Endpoints" {
            continue;
        }
        let raw = everything(tables::kind(&version, kind.kind).unwrap());
        let object = decode(&envelope(&version, kind.kind, &raw)).unwrap();
        let checked = (kind.check)(&object);
        assert_eq!(checked.wrong_type, None, "{}", kind.kind);
        assert_eq!(checked.unknown, Vec::<String>::new(), "{}", kind.kind);
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn every_field_of_workloads_is_one_that_the_kind_has() {
    let mut seen = 0;
    for kind in kinds::all() {
        let workload = ["apps", "batch"].contains(&kind.group)
            || ["PodTemplate", "ReplicationController"].contains(&kind.kind);
        if !workload {
            continue;
        }
        let version = crate::api::body::api_version(kind);
        let raw = everything(tables::kind(&version, kind.kind).unwrap());
        let object = decode(&envelope(&version, kind.kind, &raw)).unwrap();
        let checked = (kind.check)(&object);
        assert_eq!(checked.wrong_type, None, "{}", kind.kind);
        assert_eq!(checked.unknown, Vec::<String>::new(), "{}", kind.kind);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn a_scale_is_its_number() {
    let raw = message(&[
        field(1, field(1, "web")),
        field(2, int(1, 3)),
        field(3, int(1, 0)),
    ]);
    let object = decode(&envelope("autoscaling/v1", "Scale", &raw)).unwrap();
    assert_eq!(object["spec"], json!({"replicas": 3}));
    assert_eq!(object["metadata"], json!({"name": "web"}));
}

#[test]
fn extra_values_are_lists() {
    let values = message(&[field(1, "a"), field(1, "b")]);
    let spec = message(&[field(3, "jo"), field(5, entry("scopes", values))]);
    let raw = field(2, spec);
    let object = decode(&envelope(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        &raw,
    ));
    assert_eq!(
        object.unwrap()["spec"],
        json!({"user": "jo", "extra": {"scopes": ["a", "b"]}})
    );
}
