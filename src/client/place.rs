//! Where in a JSON text a decoder stopped, as the way to the field. Looked for only when decoding has failed: a decoder
//! that remembers the way is compiled for every kind once more, which a board would carry as megabytes.

use std::fmt::Write;

/// An object or a list that is open at the place.
enum Open {
    Object(String),
    List(usize),
}

/// The way to what stands just before `end`: `items[3].spec.nodeName`. Values are not shown: they may be secret.
pub fn way_to(json: &[u8], end: usize) -> String {
    let json = &json[..end.min(json.len())];
    let mut open: Vec<Open> = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let begin = at + 1;
                at = begin;
                while json.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                text = String::from_utf8_lossy(&json[begin..at.min(json.len())]).into_owned();
            }
            b':' => {
                if let Some(Open::Object(key)) = open.last_mut() {
                    *key = std::mem::take(&mut text);
                }
            }
            b',' => {
                if let Some(Open::List(index)) = open.last_mut() {
                    *index += 1;
                }
            }
            b'{' => open.push(Open::Object(String::new())),
            b'[' => open.push(Open::List(0)),
            b'}' | b']' => {
                open.pop();
            }
            _ => {}
        }
        at += 1;
    }
    let mut way = String::new();
    for part in open {
        // Writing into a string cannot fail.
        let _ = match part {
            Open::Object(key) if way.is_empty() => write!(way, "{key}"),
            Open::Object(key) => write!(way, ".{key}"),
            Open::List(index) => write!(way, "[{index}]"),
        };
    }
    way
}

/// The byte that a decoder's line and column (both from 1) mean.
pub fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let lines = json.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before.saturating_add(column)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use k8s_openapi::List;
    use k8s_openapi::api::core::v1::Pod;
    use proptest::prelude::*;

    #[test]
    fn the_field_that_cannot_be_read_is_named() {
        for (json, way) in [
            (
                r#"{"items": [{}, {"spec": {"nodeName": 3}}]}"#,
                "items[1].spec.nodeName",
            ),
            (
                "{\n \"items\": [\n  {\"metadata\": {\"labels\": {\"a\\\"}\": \"x\", \"b\": []}}}]}",
                "items[0].metadata.labels.b",
            ),
            (r#"{"items": 1}"#, "items"),
        ] {
            let error = serde_json::from_str::<List<Pod>>(json).unwrap_err();
            let end = offset(json.as_bytes(), error.line(), error.column());
            assert_eq!(way_to(json.as_bytes(), end), way, "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_way(json in proptest::collection::vec(any::<u8>(), 0..64), end in 0_usize..80) {
            way_to(&json, end);
            offset(&json, end, end);
        }
    }
}
