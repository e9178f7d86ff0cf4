//! Hand-encoded messages, against the JSON they stand for.

use super::{MAGIC, entry, envelope, field, int, message};
use crate::api::body;
use crate::api::protobuf::decode;
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

/// `metadata` as client-go writes it: every field that is not a pointer is there, zero or not.
fn metadata(name: &str) -> Vec<u8> {
    message(&[
        field(1, name),
        field(2, ""),
        field(3, ""),
        field(4, ""),
        field(5, ""),
        field(6, ""),
        int(7, 0),
        field(8, ""),
    ])
}

#[test]
fn objects_read_as_their_json() {
    for (kind, raw, expected) in [
        (
            "Namespace",
            message(&[
                field(1, metadata("blue")),
                field(2, ""),
                field(3, field(1, "")),
            ]),
            json!({"metadata": {"name": "blue"}, "spec": {}, "status": {}}),
        ),
        (
            "ConfigMap",
            message(&[
                field(1, metadata("settings")),
                field(2, entry("colour", "blue")),
                field(2, entry("empty", "")),
                field(2, field(1, "bare")),
                field(3, entry("bytes", [0, 159])),
                int(4, 0),
            ]),
            json!({
                "metadata": {"name": "settings"},
                "data": {"colour": "blue", "empty": "", "bare": ""},
                "binaryData": {"bytes": "AJ8="},
                "immutable": false,
            }),
        ),
        (
            "Secret",
            message(&[
                field(1, metadata("key")),
                field(2, entry("password", "s3cret")),
                field(3, "Opaque"),
                field(4, entry("plain", "text")),
            ]),
            json!({
                "metadata": {"name": "key"},
                "data": {"password": "czNjcmV0"},
                "type": "Opaque",
                "stringData": {"plain": "text"},
            }),
        ),
        (
            "ServiceAccount",
            message(&[
                field(1, metadata("robot")),
                field(3, field(1, "registry")),
                int(4, 0),
            ]),
            json!({
                "metadata": {"name": "robot"},
                "imagePullSecrets": [{"name": "registry"}],
                "automountServiceAccountToken": false,
            }),
        ),
        (
            "Service",
            message(&[
                field(1, metadata("web")),
                field(
                    2,
                    message(&[
                        field(
                            1,
                            message(&[
                                field(1, "http"),
                                field(2, "TCP"),
                                int(3, 80),
                                field(4, message(&[int(1, 0), int(2, 8080), field(3, "")])),
                                int(5, 0),
                            ]),
                        ),
                        field(
                            1,
                            message(&[
                                int(3, 443),
                                field(4, message(&[int(1, 1), int(2, 0), field(3, "tls")])),
                            ]),
                        ),
                        field(
                            1,
                            message(&[int(3, 53), field(4, message(&[int(1, 0), int(2, 0)]))]),
                        ),
                        field(2, entry("app", "web")),
                        field(3, "None"),
                        field(4, "ClusterIP"),
                        int(20, 0),
                    ]),
                ),
                field(3, field(1, "")),
            ]),
            json!({
                "metadata": {"name": "web"},
                "spec": {
                    "ports": [
                        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
                        {"port": 443, "targetPort": "tls"},
                        {"port": 53},
                    ],
                    "selector": {"app": "web"},
                    "clusterIP": "None",
                    "type": "ClusterIP",
                    "allocateLoadBalancerNodePorts": false,
                },
                "status": {"loadBalancer": {}},
            }),
        ),
        (
            "DeleteOptions",
            message(&[
                int(1, 0),
                field(2, field(1, "4a1c")),
                field(4, "Background"),
                field(5, "All"),
            ]),
            json!({
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": "4a1c"},
                "propagationPolicy": "Background",
                "dryRun": ["All"],
            }),
        ),
    ] {
        let mut expected = expected;
        expected["apiVersion"] = "v1".into();
        expected["kind"] = kind.into();
        assert_eq!(decode(&envelope("v1", kind, &raw)), Ok(expected), "{kind}");
    }
}

#[test]
fn a_pod_keeps_what_its_pointers_say() {
    let volumes = [
        // The source is inlined in JSON; an empty one behind a pointer still chooses.
        message(&[field(1, "scratch"), field(2, field(2, ""))]),
        message(&[
            field(1, "settings"),
            field(
                2,
                field(
                    19,
                    message(&[field(1, field(1, "settings")), int(3, 0o644), int(4, 0)]),
                ),
            ),
        ]),
        message(&[
            field(1, "small"),
            field(
                2,
                field(
                    2,
                    message(&[field(1, "Memory"), field(2, field(1, "64Mi"))]),
                ),
            ),
        ]),
    ];
    let container = message(&[
        field(1, "main"),
        field(2, "busybox"),
        field(5, ""),
        field(
            7,
            message(&[
                field(1, "KEY"),
                field(2, ""),
                field(
                    3,
                    field(
                        4,
                        message(&[field(1, field(1, "key")), field(2, "password"), int(3, 0)]),
                    ),
                ),
            ]),
        ),
        field(
            8,
            message(&[
                field(1, entry("cpu", field(1, "500m"))),
                field(1, entry("memory", field(1, "64Mi"))),
            ]),
        ),
        field(15, message(&[int(4, 0), int(6, 0)])),
        int(16, 0),
    ]);
    let mut spec: Vec<Vec<u8>> = volumes.iter().map(|volume| field(1, volume)).collect();
    spec.extend([
        field(2, container),
        int(4, 0),
        field(7, entry("disk", "fast")),
        field(14, ""),
        int(25, -10),
        field(22, message(&[field(1, "node"), int(5, 0)])),
    ]);
    let pod = message(&[
        field(1, metadata("web")),
        field(2, message(&spec)),
        field(3, ""),
    ]);
    assert_eq!(
        decode(&envelope("v1", "Pod", &pod)),
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web"},
            "spec": {
                "volumes": [
                    {"name": "scratch", "emptyDir": {}},
                    {"name": "settings", "configMap": {"name": "settings", "defaultMode": 420, "optional": false}},
                    {"name": "small", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
                ],
                "containers": [{
                    "name": "main",
                    "image": "busybox",
                    "env": [{
                        "name": "KEY",
                        "valueFrom": {"secretKeyRef": {"name": "key", "key": "password", "optional": false}},
                    }],
                    "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
                    "securityContext": {"runAsUser": 0, "readOnlyRootFilesystem": false},
                }],
                "terminationGracePeriodSeconds": 0,
                "nodeSelector": {"disk": "fast"},
                "securityContext": {},
                "priority": -10,
                "tolerations": [{"key": "node", "tolerationSeconds": 0}],
            },
            "status": {},
        }))
    );
}

#[test]
fn times_and_managed_fields_are_json_of_their_own() {
    let time = |seconds, nanos| message(&[int(1, seconds), int(2, nanos)]);
    let meta = message(&[
        field(1, "e"),
        field(8, time(1_700_000_000, 5)),
        field(
            17,
            message(&[
                field(1, "kubectl"),
                field(4, time(0, 0)),
                field(7, field(1, br#"{"f:data":{}}"#)),
            ]),
        ),
    ]);
    let event = message(&[
        field(1, meta),
        field(5, ""),
        field(6, ""),
        field(10, time(1_700_000_000, 123_456_789)),
    ]);
    let event = decode(&envelope("v1", "Event", &event)).unwrap();
    assert_eq!(
        event["metadata"],
        json!({
            "name": "e",
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "managedFields": [{"manager": "kubectl", "time": "1970-01-01T00:00:00Z", "fieldsV1": {"f:data": {}}}],
        })
    );
    assert_eq!(event["eventTime"], "2023-11-14T22:13:20.123456Z");
    assert_eq!(event.get("firstTimestamp"), None);
}

#[test]
fn a_field_that_comes_twice_is_merged_or_replaced() {
    let raw = message(&[
        field(1, field(1, "first")),
        field(1, field(3, "blue")),
        field(1, field(1, "second")),
        field(2, entry("a", "1")),
        field(2, entry("a", "2")),
        int(4, 1),
        int(4, 0),
        // Unknown fields are skipped, whatever their type.
        field(900, "later"),
        int(901, 7),
    ]);
    assert_eq!(
        decode(&envelope("v1", "ConfigMap", &raw)),
        Ok(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "second", "namespace": "blue"},
            "data": {"a": "2"},
            "immutable": false,
        }))
    );
}

#[test]
fn what_cannot_be_read_says_where_and_why() {
    let named = |raw: &[u8]| envelope("v1", "ConfigMap", raw);
    for (body, expected) in [
        (
            b"{}".to_vec(),
            "it does not start with the four bytes \"k8s\\0\" of Kubernetes' envelope",
        ),
        (
            MAGIC.to_vec(),
            "kind \"\" in version \"\" cannot be read as protobuf: send JSON",
        ),
        (
            envelope("apps/v2", "Deployment", &[]),
            "kind \"Deployment\" in version \"apps/v2\" cannot be read as protobuf: send JSON",
        ),
        (
            [MAGIC.to_vec(), field(3, "gzip")].concat(),
            "content encoding \"gzip\" is not supported: send the object itself",
        ),
        (
            [MAGIC.to_vec(), field(4, "application/json")].concat(),
            "content type \"application/json\" inside the envelope is not supported: send protobuf, or JSON without an envelope",
        ),
        (
            named(&[0x0a, 0x05, 0x0a]),
            "it is cut short: 4 more bytes were announced",
        ),
        (
            named(&field(1, [0x0a, 0x05, b'x'])),
            "metadata: it is cut short: 4 more bytes were announced",
        ),
        (
            named(&field(1, field(1, [0xff]))),
            "metadata.name: it is not UTF-8",
        ),
        (
            named(&field(1, int(1, 5))),
            "metadata.name: it is a varint on the wire where a length-delimited value belongs",
        ),
        (
            named(&field(4, "x")),
            "immutable: it is a length-delimited value on the wire where a varint belongs",
        ),
        (
            named(&field(1, field(8, int(1, i64::MIN)))),
            "metadata.creationTimestamp: -9223372036854775808 seconds since 1970 is not a time between the years 1 and 9999",
        ),
        (
            named(&field(1, field(17, field(7, field(1, "{"))))),
            "metadata.managedFields.fieldsV1: it is not JSON",
        ),
    ] {
        assert_eq!(decode(&body).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_content_type_chooses_this_decoder() {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.kubernetes.protobuf; charset=binary"),
    );
    let whole = envelope("v1", "ConfigMap", &field(1, metadata("settings")));
    let object = body::decode(&headers, &whole).unwrap();
    assert_eq!(object["metadata"]["name"], "settings");
    let cut = body::decode(&headers, &whole[..whole.len() - 5]).unwrap_err();
    assert_eq!(cut.code, 400);
    assert!(cut.message.contains("it is cut short"), "{}", cut.message);
}
