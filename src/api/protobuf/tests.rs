//! Hand-encoded messages, and bytes that nobody should send.

#![allow(clippy::unwrap_used)]

use super::convert::{Converter, DEPTH_MAX, VALUES_MAX};
use super::schema::{Message, Type, messages};
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A varint field.
fn int(number: u32, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value as u64)].concat()
}

/// A length-delimited field.
fn field(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [
        varint(u64::from(number) << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

fn message(fields: &[Vec<u8>]) -> Vec<u8> {
    fields.concat()
}

fn entry(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    message(&[field(1, key), field(2, value)])
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    [
        MAGIC.to_vec(),
        field(1, message(&[field(1, api_version), field(2, kind)])),
        field(2, raw),
        field(3, ""),
        field(4, ""),
    ]
    .concat()
}

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
            envelope("apps/v1", "Deployment", &[]),
            "kind \"Deployment\" in version \"apps/v1\" cannot be read as protobuf: send JSON",
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

#[allow(
    non_upper_case_globals,
    reason = "a message keeps the name it has upstream"
)]
mod recursive {
    use super::messages;

    messages! {
        Loop { 1 next = Loop, 2 numbers: [int32], 3 flags: [bool] }
    }
}
use recursive::Loop;

fn convert(message: &Message, raw: &[u8]) -> Result<Value, DecodeError> {
    let mut object = Map::new();
    Converter::new().message(message, raw, &mut object)?;
    Ok(Value::Object(object))
}

#[test]
fn depth_and_count_are_bounded() {
    let nested = |depth: usize| (1..depth).fold(Vec::new(), |inner, _| field(1, inner));
    assert!(convert(&Loop, &nested(DEPTH_MAX)).is_ok());
    assert_eq!(
        convert(&Loop, &nested(DEPTH_MAX + 1)).unwrap_err().problem,
        Problem::TooDeep { max: DEPTH_MAX }
    );
    assert!(convert(&Loop, &field(2, vec![0; VALUES_MAX - 1])).is_ok());
    assert_eq!(
        convert(&Loop, &field(2, vec![0; VALUES_MAX + 1]))
            .unwrap_err()
            .problem,
        Problem::TooMany { max: VALUES_MAX }
    );
}

#[test]
fn numbers_may_be_packed() {
    let raw = message(&[
        int(2, 1),
        field(2, [2, 0x96, 0x01]),
        int(2, -1),
        field(3, [0, 1]),
    ]);
    assert_eq!(
        convert(&Loop, &raw),
        Ok(json!({"numbers": [1, 2, 150, -1], "flags": [false, true]}))
    );
}

/// A field of every message reachable from `message`, once.
fn walk(message: &'static Message, seen: &mut Vec<*const Message>) {
    if seen.contains(&std::ptr::from_ref(message)) {
        return;
    }
    seen.push(message);
    assert!(
        message
            .fields
            .is_sorted_by(|one, next| one.number < next.number),
        "field numbers rise: {message:?}"
    );
    for field in message.fields {
        let mut kind = &field.kind;
        while let Type::List(inner) | Type::Map(inner) = kind {
            if matches!(kind, Type::Map(_)) {
                assert!(
                    !matches!(inner, Type::Bool | Type::Int32 | Type::Int64),
                    "a map's value is length-delimited: {}",
                    field.name
                );
            }
            kind = inner;
        }
        if let Type::Message(inner) | Type::Inline(inner) = kind {
            walk(inner, seen);
        }
    }
}

const KINDS: [&str; 10] = [
    "DeleteOptions",
    "Binding",
    "ConfigMap",
    "Event",
    "Namespace",
    "Node",
    "Pod",
    "Secret",
    "Service",
    "ServiceAccount",
];

#[test]
fn the_tables_are_in_order() {
    let mut seen = Vec::new();
    for kind in KINDS {
        walk(tables::kind("v1", kind).unwrap(), &mut seen);
    }
    assert_eq!(seen.len(), 181);
}

/// An encoding of `message` with every field present, as deep as it goes.
fn everything(message: &Message) -> Vec<u8> {
    let mut encoded = Vec::new();
    for one in message.fields {
        encoded.extend(sample(one.number, &one.kind));
    }
    encoded
}

fn sample(number: u32, kind: &Type) -> Vec<u8> {
    match kind {
        Type::Bool | Type::Int32 | Type::Int64 => int(number, 1),
        Type::Text | Type::Bytes => field(number, "text"),
        Type::Time | Type::MicroTime => field(number, message(&[int(1, 1_700_000_000), int(2, 1)])),
        Type::Quantity => field(number, field(1, "1500m")),
        Type::IntOrString => field(number, message(&[int(1, 1), field(3, "http")])),
        Type::FieldsV1 => field(number, field(1, "{}")),
        Type::Message(inner) | Type::Inline(inner) => field(number, everything(inner)),
        Type::List(item) => sample(number, item),
        Type::Map(value) => field(number, [field(1, "key"), sample(2, value)].concat()),
    }
}

#[test]
fn every_field_of_every_kind_is_one_that_the_kind_has() {
    for kind in KINDS.iter().skip(1) {
        let raw = everything(tables::kind("v1", kind).unwrap());
        let object = decode(&envelope("v1", kind, &raw)).unwrap();
        let Some(known) = crate::api::kinds::all()
            .iter()
            .find(|known| known.kind == *kind)
        else {
            continue;
        };
        let checked = (known.check)(&object);
        assert_eq!(checked.wrong_type, None, "{kind}");
        // Fields of releases after the one whose types this program knows.
        assert_eq!(checked.unknown, Vec::<String>::new(), "{kind}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), which in 0..KINDS.len()) {
        let _ = decode(&bytes);
        let _ = decode(&envelope("v1", KINDS[which], &bytes));
    }

    #[test]
    fn damaged_encodings_never_panic(
        which in 0..KINDS.len(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let raw = everything(tables::kind("v1", KINDS[which]).unwrap());
        let mut body = envelope("v1", KINDS[which], &raw);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let _ = decode(&body);
    }

    #[test]
    fn text_comes_through(key in "[a-z.]{1,20}", value in ".*") {
        let raw = field(2, entry(&key, &value));
        let object = decode(&envelope("v1", "ConfigMap", &raw)).unwrap();
        prop_assert_eq!(&object["data"][key.as_str()], &json!(value));
    }
}
