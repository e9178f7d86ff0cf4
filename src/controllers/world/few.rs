//! A map of a few entries, sorted, in one piece of memory: a tree keeps room for eleven, which every pod would pay for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Text to text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Few(Box<[(Box<str>, Box<str>)]>);

impl Few {
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(key, _)| **key == *name)
            .map(|(_, value)| value.as_ref())
    }
}

impl<'a> Deserialize<'a> for Few {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Few, D::Error> {
        let map = BTreeMap::deserialize(deserializer)?;
        Ok(Few(map.into_iter().collect()))
    }
}

impl Serialize for Few {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_read_and_written_as_a_map() {
        let few: Few = serde_json::from_value(json!({"b": "2", "a": "1"})).unwrap();
        assert_eq!(
            (few.get("a"), few.get("b"), few.get("c")),
            (Some("1"), Some("2"), None)
        );
        assert_eq!(json!(few), json!({"a": "1", "b": "2"}));
        assert_eq!(json!(Few::default()), json!({}));
        assert!(serde_json::from_value::<Few>(json!({"a": 1})).is_err());
    }
}
