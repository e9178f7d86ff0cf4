//! Variables from a file that an earlier container has written (`fileKeyRef`).
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/#env-file-syntax>

use std::collections::BTreeMap;

/// The variables of a file: `NAME='value'`, where the value may go over lines. An error names the line.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (now, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let plain = now.trim_start();
        if plain.trim_end().is_empty() || plain.starts_with('#') {
            rest = after;
            line += 1;
            continue;
        }
        let wrong = |why: &str| format!("line {line}: {why}");
        let (name, _) = plain
            .split_once('=')
            .ok_or_else(|| wrong("a variable is written NAME='value'"))?;
        let name = name.trim_end();
        if !is_name(name) {
            return Err(wrong(&format!("{name:?} is no name of a variable")));
        }
        // Behind the first `=` of the rest, which is this line's.
        let value = rest.split_once('=').map_or("", |(_, value)| value);
        let quoted = value
            .trim_start_matches([' ', '\t'])
            .strip_prefix('\'')
            .ok_or_else(|| wrong("the value must be in single quotes"))?;
        let (value, behind) = quoted
            .split_once('\'')
            .ok_or_else(|| wrong("the value has no closing quote"))?;
        let (tail, after) = behind.split_once('\n').unwrap_or((behind, ""));
        if !tail.trim().is_empty() {
            return Err(wrong("nothing may follow the closing quote"));
        }
        line += 1 + value.matches('\n').count();
        variables.insert(name.to_string(), value.to_string());
        rest = after;
    }
    Ok(variables)
}

fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_shells_read_the_same() {
        let text = "# a comment\n\n  A='1'\nB = 'x # y'  \nLONG='one\ntwo'\nEMPTY=''\nA='2'";
        let variables = parse(text).unwrap();
        let list: Vec<String> = variables.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(list, ["A=2", "B=x # y", "EMPTY=", "LONG=one\ntwo"]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_they_do_not() {
        for (text, said) in [
            ("A=1", "line 1: the value must be in single quotes"),
            ("\nA=\"1\"", "line 2: the value must be"),
            ("L='a\nb'\nA='1''2'", "line 3: nothing may follow"),
            ("A='1'$B", "nothing may follow"),
            ("A='1", "no closing quote"),
            ("A", "NAME='value'"),
            ("1A='1'", "no name"),
            ("A B='1'", "no name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "[A-Z='#\\n ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
