//! `app=web tier-`: which keys of a map are set and which removed, and what an object's map becomes.

use super::Map;
use serde_json::{Map as JsonMap, Value, json};

/// What a command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    pub set: Vec<(String, String)>,
    pub remove: Vec<String>,
}

/// Splits `pod web app=web tier-` into the words that choose objects and the pairs behind them.
pub fn split(words: &[String], map: Map) -> Result<(Vec<String>, Pairs), String> {
    let begin = words
        .iter()
        .position(|word| is_pair(word))
        .unwrap_or(words.len());
    let (targets, rest) = words.split_at(begin);
    let mut pairs = Pairs::default();
    for word in rest {
        if !is_pair(word) {
            return Err(format!(
                "all resources must be specified before {} changes: {word}",
                map.noun()
            ));
        }
        match word.split_once('=') {
            Some((key, value)) => pairs.set.push((key.to_owned(), value.to_owned())),
            None => pairs.remove.push(word[..word.len() - 1].to_owned()),
        }
    }
    if let Some(both) = pairs
        .remove
        .iter()
        .find(|key| pairs.set.iter().any(|(set, _)| set == *key))
    {
        return Err(format!(
            "can not both modify and remove {} \"{both}\" in the same command",
            map.article()
        ));
    }
    Ok((targets.to_vec(), pairs))
}

fn is_pair(word: &str) -> bool {
    (word.contains('=') && !word.starts_with('=')) || (word.ends_with('-') && word != "-")
}

impl Pairs {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Refuses to change a value that is there already.
    pub fn check(&self, current: &JsonMap<String, Value>, map: Map) -> Result<(), String> {
        let taken: Vec<String> = self
            .set
            .iter()
            .filter_map(|(key, value)| {
                let there = current.get(key)?.as_str().unwrap_or_default();
                (there != value).then(|| format!("'{key}' already has a value ({there})"))
            })
            .collect();
        if taken.is_empty() {
            return Ok(());
        }
        Err(match map {
            Map::Labels => format!("{}, and --overwrite is false", taken.join("; ")),
            Map::Annotations => format!(
                "--overwrite is false but found the following declared annotation(s): {}",
                taken.join("; ")
            ),
        })
    }

    /// The merge patch for `metadata`.
    pub fn patch(&self, map: Map, resource_version: Option<&str>) -> Value {
        let mut changes = JsonMap::new();
        for key in &self.remove {
            changes.insert(key.clone(), Value::Null);
        }
        for (key, value) in &self.set {
            changes.insert(key.clone(), json!(value));
        }
        let mut metadata = json!({map.field(): changes});
        if let Some(version) = resource_version {
            metadata["resourceVersion"] = json!(version);
        }
        json!({"metadata": metadata})
    }

    /// Keys to be removed that are not there.
    pub fn absent<'a>(&'a self, current: &JsonMap<String, Value>) -> Vec<&'a str> {
        self.remove
            .iter()
            .filter(|key| !current.contains_key(*key))
            .map(String::as_str)
            .collect()
    }

    /// Whether anything of `current` would change.
    pub fn changes(&self, current: &JsonMap<String, Value>) -> bool {
        self.remove.iter().any(|key| current.contains_key(key))
            || self
                .set
                .iter()
                .any(|(key, value)| current.get(key).and_then(Value::as_str) != Some(value))
    }

    /// The word for what was done to an object, as kubectl says it.
    pub fn verb(&self, current: &JsonMap<String, Value>, map: Map) -> &'static str {
        match map {
            Map::Annotations => "annotated",
            Map::Labels if !self.changes(current) => "not labeled",
            Map::Labels if self.set.is_empty() => "unlabeled",
            Map::Labels => "labeled",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn command_lines_are_split() {
        for (line, targets, set, removed) in [
            ("pod web app=web", "pod web", "app=web", ""),
            ("pod/web a=1 b- c=x=y", "pod/web", "a=1 c=x=y", "b"),
            ("pods a=", "pods", "a=", ""),
            ("pods", "pods", "", ""),
        ] {
            let (found, pairs) = split(&words(line), Map::Labels).unwrap();
            assert_eq!(found.join(" "), targets, "{line}");
            let texts: Vec<String> = pairs.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(texts.join(" "), set, "{line}");
            assert_eq!(pairs.remove.join(" "), removed, "{line}");
        }
        for line in ["pod a=1 web", "pod web a=1 a-"] {
            assert!(split(&words(line), Map::Labels).is_err(), "{line}");
        }
    }

    #[test]
    fn changes_and_refusals_are_kubectls() {
        let current = json!({"a": "1", "b": "2"});
        let current = current.as_object().unwrap();
        for (line, verb, refused) in [
            ("p a=1", "not labeled", None),
            ("p c=1", "labeled", None),
            ("p a-", "unlabeled", None),
            ("p z-", "not labeled", None),
            (
                "p a=2",
                "labeled",
                Some("'a' already has a value (1), and --overwrite is false"),
            ),
        ] {
            let (_, pairs) = split(&words(line), Map::Labels).unwrap();
            assert_eq!(pairs.verb(current, Map::Labels), verb, "{line}");
            let check = pairs.check(current, Map::Labels).err();
            assert_eq!(check.as_deref(), refused, "{line}");
        }
        let (_, pairs) = split(&words("p a=2 b-"), Map::Annotations).unwrap();
        assert_eq!(
            pairs.patch(Map::Annotations, Some("7")),
            json!({"metadata": {"annotations": {"b": null, "a": "2"}, "resourceVersion": "7"}})
        );
        assert!(pairs.absent(current).is_empty());
    }
}
