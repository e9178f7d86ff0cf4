//! Label selectors: equality, sets, existence, order.

use super::names::{check_label_value, check_qualified};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Requirements in one selector: far past any real one, and a bound on the work per object.
const REQUIREMENTS_MAX: usize = 1000;

/// A parsed label selector (`app=web,tier in (a,b),!old`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Test {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    NotIn(Vec<String>),
    GreaterThan(i64),
    LessThan(i64),
}

impl Test {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|text| text.parse::<i64>().ok());
        match self {
            Test::Exists => label.is_some(),
            Test::DoesNotExist => label.is_none(),
            Test::In(values) => label.is_some_and(|label| values.iter().any(|v| v == label)),
            Test::NotIn(values) => !label.is_some_and(|label| values.iter().any(|v| v == label)),
            Test::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Test::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl LabelSelector {
    /// Reads the `labelSelector` query parameter. Errors are worded as upstream's.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let mut requirements = Vec::new();
        while parser.peek() != &Token::End {
            if requirements.len() == REQUIREMENTS_MAX {
                return Err(format!("more than {REQUIREMENTS_MAX} requirements"));
            }
            requirements.push(parser.requirement()?);
            match parser.next() {
                Token::End => break,
                Token::Comma => {
                    if !matches!(parser.peek(), Token::Word(_) | Token::Not) {
                        return Err(format!(
                            "found '{}', expected: identifier after ','",
                            parser.peek().text()
                        ));
                    }
                }
                other => {
                    return Err(format!(
                        "found '{}', expected: ',' or 'end of string'",
                        other.text()
                    ));
                }
            }
        }
        Ok(LabelSelector { requirements })
    }

    /// Reads an object's selector field: `{matchLabels, matchExpressions}`.
    pub fn from_json(selector: &Value) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        for (key, value) in super::access::map(selector, "/matchLabels") {
            let value = value
                .as_str()
                .ok_or_else(|| format!("matchLabels[{key}] must be a string"))?;
            requirements.push(requirement(key, Test::In(vec![value.into()]))?);
        }
        for expression in super::access::list(selector, "/matchExpressions") {
            let key = super::access::text(expression, "/key");
            let values: Vec<String> = super::access::list(expression, "/values")
                .iter()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let test = match (
                super::access::text(expression, "/operator"),
                values.is_empty(),
            ) {
                ("In", false) => Test::In(values),
                ("NotIn", false) => Test::NotIn(values),
                ("Exists", true) => Test::Exists,
                ("DoesNotExist", true) => Test::DoesNotExist,
                ("In" | "NotIn", true) => {
                    return Err("must be specified when `operator` is 'In' or 'NotIn'".into());
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'".into(),
                    );
                }
                (operator, _) => {
                    return Err(format!(
                        "\"{operator}\" is not a valid label selector operator"
                    ));
                }
            };
            requirements.push(requirement(key, test)?);
        }
        if requirements.len() > REQUIREMENTS_MAX {
            return Err(format!("more than {REQUIREMENTS_MAX} requirements"));
        }
        Ok(LabelSelector { requirements })
    }

    /// As an object's selector field has it: `{matchLabels, matchExpressions}`. `None`: order has no place there.
    pub fn to_json(&self) -> Option<Value> {
        let mut selector = serde_json::Map::new();
        for Requirement { key, test } in &self.requirements {
            let (operator, values) = match test {
                Test::In(values) => match values.as_slice() {
                    [only] => {
                        selector.entry("matchLabels").or_insert_with(|| json!({}))[key] =
                            json!(only);
                        continue;
                    }
                    values => ("In", values),
                },
                Test::NotIn(values) => ("NotIn", values.as_slice()),
                Test::Exists => ("Exists", &[][..]),
                Test::DoesNotExist => ("DoesNotExist", &[][..]),
                Test::GreaterThan(_) | Test::LessThan(_) => return None,
            };
            let mut expression = json!({"key": key, "operator": operator});
            if !values.is_empty() {
                expression["values"] = json!(values);
            }
            if let Some(list) = selector
                .entry("matchExpressions")
                .or_insert_with(|| json!([]))
                .as_array_mut()
            {
                list.push(expression);
            }
        }
        Some(Value::Object(selector))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.holds(|key| labels.get(key).map(String::as_str))
    }

    /// Matches against `metadata.labels` of an object.
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = super::access::map(object, "/metadata/labels");
        self.holds(|key| labels.get(key).and_then(Value::as_str))
    }

    fn holds<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.test.holds(label(&requirement.key)))
    }
}

/// An object's selector field as text that can be parsed again, in the order of its keys
/// (`a=b,tier in (x,y),!old`); empty where it selects everything.
pub fn written(selector: &Value) -> String {
    use super::access::{list, map, text};
    let mut parts: Vec<(&str, String)> = map(selector, "/matchLabels")
        .iter()
        .map(|(key, value)| {
            let value = value.as_str().unwrap_or_default();
            (key.as_str(), format!("{key}={value}"))
        })
        .collect();
    for expression in list(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let mut values: Vec<&str> = list(expression, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key, part));
    }
    parts.sort_by(|one, other| one.0.cmp(other.0));
    let parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    parts.join(",")
}

fn requirement(key: &str, test: Test) -> Result<Requirement, String> {
    check_qualified(key).map_err(|rule| format!("key: Invalid value: {key:?}: {rule}"))?;
    if let Test::In(values) | Test::NotIn(values) = &test {
        for (index, value) in values.iter().enumerate() {
            check_label_value(value).map_err(|rule| {
                format!("values[{index}][{key}]: Invalid value: {value:?}: {rule}")
            })?;
        }
    }
    Ok(Requirement {
        key: key.into(),
        test,
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
    Open,
    Close,
    Comma,
    Unknown(String),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(text) | Token::Unknown(text) => text,
            Token::Not => "!",
            Token::Equals => "=",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::End => "",
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    const SPECIAL: [char; 7] = ['=', '!', '(', ')', ',', '>', '<'];
    let special = |c: char| SPECIAL.contains(&c);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if special(first) {
            let operator = |c: char| matches!(c, '=' | '!' | '>' | '<');
            if operator(first) {
                rest.find(|c| !operator(c)).unwrap_or(rest.len())
            } else {
                1
            }
        } else {
            rest.find(|c: char| special(c) || c.is_whitespace())
                .unwrap_or(rest.len())
        };
        let (token, remaining) = rest.split_at(length);
        tokens.push(match token {
            "=" | "==" => Token::Equals,
            "!=" => Token::NotEquals,
            "!" => Token::Not,
            ">" => Token::Greater,
            "<" => Token::Less,
            "(" => Token::Open,
            ")" => Token::Close,
            "," => Token::Comma,
            _ if special(first) => Token::Unknown(token.into()),
            _ => Token::Word(token.into()),
        });
        rest = remaining.trim_start();
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == &Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => {
                return Err(format!(
                    "unable to parse requirement: found '{}', expected: identifier",
                    other.text()
                ));
            }
        };
        if negated {
            return requirement(&key, Test::DoesNotExist);
        }
        let test = match self.peek().clone() {
            Token::End | Token::Comma => Test::Exists,
            Token::Equals => Test::In(vec![self.value()]),
            Token::NotEquals => Test::NotIn(vec![self.value()]),
            Token::Greater => Test::GreaterThan(self.number()?),
            Token::Less => Test::LessThan(self.number()?),
            Token::Word(word) if word == "in" => Test::In(self.set()?),
            Token::Word(word) if word == "notin" => Test::NotIn(self.set()?),
            other => {
                return Err(format!(
                    "unable to parse requirement: found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    other.text()
                ));
            }
        };
        requirement(&key, test)
    }

    /// The value after an operator; none is the empty value (`key=`).
    fn value(&mut self) -> String {
        self.next();
        match self.peek().clone() {
            Token::Word(value) => {
                self.next();
                value
            }
            _ => String::new(),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let value = self.value();
        value
            .parse()
            .map_err(|_| format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"))
    }

    fn set(&mut self) -> Result<Vec<String>, String> {
        self.next();
        let open = self.next();
        if open != Token::Open {
            return Err(format!(
                "unable to parse requirement: found '{}' expected: '('",
                open.text()
            ));
        }
        let mut values = Vec::new();
        loop {
            // `(a,,b)` and `()` hold the empty value, as upstream reads them.
            values.push(match self.peek().clone() {
                Token::Word(value) => {
                    self.next();
                    value
                }
                _ => String::new(),
            });
            match self.next() {
                Token::Comma => {}
                Token::Close => return Ok(values),
                other => {
                    return Err(format!(
                        "unable to parse requirement: found '{}', expected: ',' or ')'",
                        other.text()
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn matches() {
        let object =
            json!({"metadata": {"labels": {"app": "web", "tier": "a", "n": "5", "in": "x"}}});
        for (text, want) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("! old", true),
            ("app=web", true),
            ("app == web", true),
            ("app!=web", false),
            ("old!=web", true),
            ("app=web,tier=b", false),
            ("tier in (a,b)", true),
            ("tier in ( b )", false),
            ("tier notin (b,c),app", true),
            ("old notin (b)", true),
            ("old in ()", false),
            ("n>4,n<6", true),
            ("n>5", false),
            ("app>1", false),
            ("app=", false),
            ("in in (x)", true),
        ] {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.matches_object(&object), want, "{text}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        let selector = json!({
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["y", "x"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "k", "operator": "Exists"},
                {"key": "n", "operator": "NotIn", "values": ["z"]},
            ]
        });
        let text = written(&selector);
        assert_eq!(text, "a=1,b=2,k,n notin (z),!old,tier in (x,y)");
        assert!(LabelSelector::parse(&text).is_ok());
        assert_eq!(written(&json!({})), "");
    }

    #[test]
    fn refuses() {
        for text in [
            "=a", "a b", "a in b", "a in (b", "a=b,", ",a", "a=b c", "a!", "a=!b", "-a=b", "a=b/c",
            "a>x", "!", "a===b",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn from_objects() {
        let selector = LabelSelector::from_json(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b"]}, {"key": "old", "operator": "DoesNotExist"}]
        }))
        .unwrap();
        assert_eq!(
            selector,
            LabelSelector::parse("app=web,tier notin (b),!old").unwrap()
        );
        assert!(
            LabelSelector::from_json(
                &json!({"matchExpressions": [{"key": "a", "operator": "In"}]})
            )
            .is_err()
        );
        assert!(
            LabelSelector::from_json(
                &json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-c=!()<>, in]{0,30}|.{0,20}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
