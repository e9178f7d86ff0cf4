#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;
use std::fmt::Write;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: ";

#[test]
fn documents_know_their_place() {
    let text = format!("# first\n{POD}a\n---\n---\n# second\n{POD}b\n--- # third\n{POD}c\n");
    let documents = parse("f.yaml", &text).unwrap();
    let found: Vec<_> = documents
        .iter()
        .map(|document| (document.name(), document.number, document.line))
        .collect();
    assert_eq!(found, [("a", 1, 2), ("b", 2, 9), ("c", 3, 14)]);
    assert_eq!(documents[1].place(), "\"f.yaml\" (document 2, line 9)");
}

#[test]
fn mistakes_are_named_with_file_document_and_line() {
    for (text, expected) in [
        (
            format!("{POD}a\n---\n{POD}b\n  bad: [\n"),
            "(document 2, line ",
        ),
        (format!("{POD}a\n---\na: 1\na: 2\n"), "(document 2, line 7)"),
        ("just text".to_owned(), "not a text"),
        ("- a\n- b\n".to_owned(), "not a list"),
        ("kind: Pod\n".to_owned(), "apiVersion not set"),
        ("apiVersion: v1\nkind: 5\n".to_owned(), "kind not set"),
        (
            "{\"apiVersion\": \"v1\",\n \"kind\": }".to_owned(),
            "(document 1, line 2)",
        ),
        ("\tapiVersion: v1\n".to_owned(), "(document 1, line 1)"),
    ] {
        let error = parse("f.yaml", &text).unwrap_err().to_string();
        assert!(
            error.contains("\"f.yaml\"") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn lists_json_and_octal_numbers() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: a}}}}\n- apiVersion: v1\n  kind: Secret\n---\n{POD}z\n"
    );
    let names: Vec<_> = parse("f", &list)
        .unwrap()
        .iter()
        .map(|document| document.kind().to_owned())
        .collect();
    assert_eq!(names, ["Pod", "Secret", "Pod"]);
    let typed = parse(
        "f",
        "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}]",
    )
    .unwrap();
    assert_eq!((typed[0].kind(), typed[0].api_version()), ("Pod", "v1"));
    let json = parse(
        "f",
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}\n{\"apiVersion\":\"v1\",\"kind\":\"Secret\"}",
    )
    .unwrap();
    assert_eq!((json.len(), json[1].line), (2, 1));
    let octal = parse(
        "f",
        "apiVersion: v1\nkind: Pod\nmode: 0644\ntext: '0644'\n80: x\n",
    )
    .unwrap();
    assert_eq!(octal[0].object["mode"], json!(420));
    assert_eq!(octal[0].object["text"], json!("0644"));
    assert_eq!(octal[0].object["80"], json!("x"));
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let previous = level - 1;
        let references = vec![format!("*a{previous}"); 10].join(",");
        writeln!(text, "a{level}: &a{level} [{references}]").unwrap();
    }
    assert!(parse("f", &text).is_err());
    let deep = "[".repeat(100_000);
    assert!(parse("f", &format!("a: {deep}")).is_err());
    assert!(parse("f", &format!("{{\"a\": {deep}")).is_err());
}

#[test]
fn directories_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    for (file, name) in [
        ("b.yml", "b"),
        ("a.yaml", "a"),
        ("sub/c.json.yaml", "c"),
        ("note.txt", "x"),
    ] {
        std::fs::write(dir.path().join(file), format!("{POD}{name}\n")).unwrap();
    }
    for (recursive, expected) in [(false, "a b"), (true, "a b c")] {
        let args = FileArgs {
            filename: vec![dir.path().to_owned()],
            recursive,
        };
        let names: Vec<_> = args
            .read()
            .unwrap()
            .iter()
            .map(|document| document.name().to_owned())
            .collect();
        assert_eq!(names.join(" "), expected);
    }
    let absent = FileArgs {
        filename: vec![dir.path().join("absent.yaml")],
        recursive: false,
    };
    assert!(
        absent
            .read()
            .unwrap_err()
            .to_string()
            .contains("absent.yaml")
    );
}
