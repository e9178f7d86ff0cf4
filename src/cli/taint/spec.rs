//! `dedicated=gpu:NoSchedule old-`: taints to set and to remove, and what a node's list becomes.
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_taint/>

use crate::object::access::text;
use serde_json::{Value, json};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// Taints to be removed: with an effect one, without it every one of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub key: String,
    pub effect: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub add: Vec<Taint>,
    pub remove: Vec<Removal>,
}

/// Whether a word of the command line is a taint and no node's name.
pub fn is_taint(word: &str) -> bool {
    word.contains(['=', ':']) || (word.ends_with('-') && word != "-")
}

pub fn parse(words: &[String]) -> Result<Changes, String> {
    let mut changes = Changes::default();
    for word in words {
        if !is_taint(word) {
            return Err(format!(
                "all nodes must be specified before the taints: {word}"
            ));
        }
        if let Some(spec) = word.strip_suffix('-') {
            let (key, _, effect) = parts(spec)?;
            let effect = (!effect.is_empty()).then_some(effect);
            changes.remove.push(Removal { key, effect });
            continue;
        }
        let (key, value, effect) = parts(word)?;
        if effect.is_empty() {
            return Err(format!(
                "invalid taint spec: {word}: an effect is needed, for example {key}:NoSchedule"
            ));
        }
        let taint = Taint { key, value, effect };
        if changes.add.iter().any(|other| taint.matches(other)) {
            return Err(format!(
                "duplicated taints with the same key and effect: {word}"
            ));
        }
        changes.add.push(taint);
    }
    if changes.add.is_empty() && changes.remove.is_empty() {
        return Err("at least one taint update is required".to_owned());
    }
    Ok(changes)
}

/// Key, value and effect; the last two may be empty.
fn parts(spec: &str) -> Result<(String, String, String), String> {
    let invalid = || format!("invalid taint spec: {spec}");
    let (pair, effect) = spec.split_once(':').unwrap_or((spec, ""));
    if effect.contains(':') || (spec.contains(':') && effect.is_empty()) {
        return Err(invalid());
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if key.is_empty() || value.contains('=') {
        return Err(invalid());
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        return Err(format!(
            "invalid taint effect: {effect}, unsupported taint effect (one of {})",
            EFFECTS.join(", ")
        ));
    }
    Ok((key.to_owned(), value.to_owned(), effect.to_owned()))
}

impl Taint {
    fn matches(&self, other: &Taint) -> bool {
        self.key == other.key && self.effect == other.effect
    }

    fn is(&self, there: &Value) -> bool {
        text(there, "/key") == self.key && text(there, "/effect") == self.effect
    }

    fn to_value(&self) -> Value {
        let mut taint = json!({"key": self.key, "effect": self.effect});
        if !self.value.is_empty() {
            taint["value"] = json!(self.value);
        }
        taint
    }
}

impl Removal {
    fn takes(&self, taint: &Value) -> bool {
        let effect = self.effect.as_deref();
        text(taint, "/key") == self.key
            && effect.is_none_or(|effect| text(taint, "/effect") == effect)
    }

    fn name(&self) -> String {
        match &self.effect {
            Some(effect) => format!("{}:{effect}", self.key),
            None => self.key.clone(),
        }
    }
}

impl Changes {
    /// The list a node's taints become, and the word for what happened.
    pub fn apply(
        &self,
        node: &str,
        current: &[Value],
        overwrite: bool,
    ) -> Result<(Vec<Value>, &'static str), String> {
        let taken: Vec<&str> = self
            .add
            .iter()
            .filter(|taint| current.iter().any(|there| taint.is(there)))
            .map(|taint| taint.key.as_str())
            .collect();
        if !taken.is_empty() && !overwrite {
            return Err(format!(
                "node {node} already has {} taint(s) with same effect(s) and --overwrite is false",
                taken.join(",")
            ));
        }
        let mut after: Vec<Value> = self.add.iter().map(Taint::to_value).collect();
        let kept = current
            .iter()
            .filter(|there| !self.add.iter().any(|taint| taint.is(there)));
        after.extend(kept.cloned());
        let added = after.len() != current.len();
        let mut removed = false;
        for removal in &self.remove {
            let before = after.len();
            after.retain(|taint| !removal.takes(taint));
            if after.len() == before {
                return Err(format!("taint \"{}\" not found", removal.name()));
            }
            removed = true;
        }
        let word = if (added && removed) || overwrite {
            "modified"
        } else if added {
            "tainted"
        } else {
            "untainted"
        };
        Ok((after, word))
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
    fn taints_are_read() {
        for (line, valid) in [
            ("a=b:NoSchedule", true),
            ("a:NoExecute", true),
            ("a-", true),
            ("a:NoSchedule-", true),
            ("a=b:NoSchedule-", true),
            ("a=b", false),
            ("a:Never", false),
            ("a=b=c:NoSchedule", false),
            (":NoSchedule", false),
            ("a:", false),
            ("a:NoSchedule a=b:NoSchedule", false),
            ("a:NoSchedule b", false),
        ] {
            assert_eq!(parse(&words(line)).is_ok(), valid, "{line}");
        }
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn lists_change_as_kubectl_changes_them() {
        let current = [
            json!({"key": "a", "value": "1", "effect": "NoSchedule"}),
            json!({"key": "a", "effect": "NoExecute"}),
        ];
        for (line, overwrite, expected) in [
            ("b=2:NoSchedule", false, Ok((3, "tainted"))),
            ("a-", false, Ok((0, "untainted"))),
            ("a:NoExecute-", false, Ok((1, "untainted"))),
            ("b:NoSchedule a-", false, Ok((1, "modified"))),
            ("a=2:NoSchedule", true, Ok((2, "modified"))),
            (
                "a=2:NoSchedule",
                false,
                Err(
                    "node n already has a taint(s) with same effect(s) and --overwrite is false"
                        .to_owned(),
                ),
            ),
            ("z-", false, Err("taint \"z\" not found".to_owned())),
            (
                "a:PreferNoSchedule-",
                false,
                Err("taint \"a:PreferNoSchedule\" not found".to_owned()),
            ),
        ] {
            let changes = parse(&words(line)).unwrap();
            let found = changes
                .apply("n", &current, overwrite)
                .map(|(list, word)| (list.len(), word));
            assert_eq!(found, expected, "{line}");
        }
    }
}
