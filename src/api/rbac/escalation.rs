//! Whether somebody gives away more than it has: pure.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping>

use super::rules::{Rule, url_matches};
use std::fmt::Write;

/// More single rights than this are not compared one by one: 64 words in each of four lists.
const RIGHTS_MAX: usize = 1 << 18;

/// One right: a rule with one word in each list.
#[derive(Clone, Copy)]
struct Right<'a> {
    verb: &'a str,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Resource {
        group: &'a str,
        resource: &'a str,
        /// Empty: any.
        name: &'a str,
    },
    Url(&'a str),
}

/// The parts of `given` that `held` does not cover; empty: nothing is given away that is not held.
pub fn uncovered(held: &[Rule], given: &[Rule]) -> Vec<Rule> {
    given
        .iter()
        .filter(|rule| !covered(held, rule))
        .cloned()
        .collect()
}

fn covered(held: &[Rule], rule: &Rule) -> bool {
    let names = rule.names.len().max(1);
    let rights = rule.verbs.len().saturating_mul(
        rule.groups
            .len()
            .saturating_mul(rule.resources.len())
            .saturating_mul(names)
            .saturating_add(rule.urls.len()),
    );
    if rights > RIGHTS_MAX {
        return false;
    }
    rule.verbs.iter().all(|verb| {
        let resources = rule.groups.iter().all(|group| {
            rule.resources.iter().all(|resource| {
                let one = |name| Right {
                    verb,
                    what: What::Resource {
                        group,
                        resource,
                        name,
                    },
                };
                if rule.names.is_empty() {
                    return held.iter().any(|rule| has(rule, one("")));
                }
                rule.names
                    .iter()
                    .all(|name| held.iter().any(|rule| has(rule, one(name))))
            })
        });
        resources
            && rule.urls.iter().all(|url| {
                let right = Right {
                    verb,
                    what: What::Url(url),
                };
                held.iter().any(|rule| has(rule, right))
            })
    })
}

fn has(rule: &Rule, right: Right<'_>) -> bool {
    let word = |words: &[Box<str>], wanted: &str| {
        words.iter().any(|word| &**word == "*" || &**word == wanted)
    };
    word(&rule.verbs, right.verb)
        && match right.what {
            What::Url(url) => rule.urls.iter().any(|held| url_matches(held, url)),
            What::Resource {
                group,
                resource,
                name,
            } => {
                let (whole, part) = resource.split_once('/').unwrap_or((resource, ""));
                word(&rule.groups, group)
                    && (rule.resources.iter().any(|held| **held == *resource)
                        || rule.has_resource(whole, part))
                    && (rule.names.is_empty() || (!name.is_empty() && rule.has_name(name)))
            }
        }
}

/// Rules as upstream's error lists them: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, one a line.
pub fn describe(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        let mut parts = Vec::new();
        for (name, words) in [
            ("APIGroups", &rule.groups),
            ("Resources", &rule.resources),
            ("ResourceNames", &rule.names),
            ("NonResourceURLs", &rule.urls),
            ("Verbs", &rule.verbs),
        ] {
            if !words.is_empty() {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                parts.push(format!("{name}:[{}]", words.join(" ")));
            }
        }
        let _ = write!(text, "\n{{{}}}", parts.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn nobody_gives_more_than_it_has() {
        let rules = |value: Value| Rule::of_role(&json!({"rules": value}));
        let pods =
            json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]});
        let list = json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]});
        let named = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a", "b"]});
        let star = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/apis/*"]});
        let empty = json!({"verbs": ["get"]});
        for (held, given, fits) in [
            (json!([pods]), json!([list]), true),
            (json!([list]), json!([pods]), false),
            // Two rules may cover one together, right by right.
            (
                json!([list, {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, {"verbs": ["*"], "apiGroups": [""], "resources": ["*/log"]}]),
                json!([pods]),
                true,
            ),
            (json!([pods]), json!([named]), true),
            (
                json!([named]),
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["b"]}]),
                true,
            ),
            (
                json!([named]),
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
                false,
            ),
            (json!([star]), json!([pods, named, star]), true),
            (json!([star]), json!([urls]), false),
            (
                json!([urls]),
                json!([{"verbs": ["get"], "nonResourceURLs": ["/apis/apps", "/apis/x/*"]}]),
                true,
            ),
            (
                json!([urls]),
                json!([{"verbs": ["get"], "nonResourceURLs": ["/api"]}]),
                false,
            ),
            (json!([pods]), json!([star]), false),
            (json!([]), json!([empty]), true),
            (json!([]), json!([]), true),
            (json!([]), json!([list]), false),
        ] {
            let left = uncovered(&rules(held.clone()), &rules(given.clone()));
            assert_eq!(left.is_empty(), fits, "{held} {given}");
        }
        assert_eq!(
            describe(&rules(json!([list]))),
            "\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\"]}"
        );
    }
}
