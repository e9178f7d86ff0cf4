//! Manifests: files, directories and standard input as objects, each knowing where it came from.

use anyhow::Context;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file: Kubernetes takes objects of up to 3 MiB; a file may hold many.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most objects of one command: a bound for memory, far above any chart.
const OBJECTS_MAX: usize = 100_000;
/// Deepest directory with -R.
const DEPTH_MAX: usize = 64;
/// Deepest nesting of List kinds in each other.
const LIST_DEPTH_MAX: usize = 8;

/// An object and its place, for messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file's path, or `STDIN`.
    pub source: String,
    /// Counted from 1.
    pub number: usize,
    /// Line where the document begins, from 1.
    pub line: usize,
    pub object: Value,
}

impl Document {
    /// `"dir/web.yaml" (document 2, line 14)`
    pub fn place(&self) -> String {
        place(&self.source, self.number, self.line)
    }
    pub fn api_version(&self) -> &str {
        self.object["apiVersion"].as_str().unwrap_or_default()
    }
    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

fn place(source: &str, number: usize, line: usize) -> String {
    format!("\"{source}\" (document {number}, line {line})")
}

/// Flags that name manifests.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FileArgs {
    /// File or directory; `-` is standard input. May be repeated.
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub filename: Vec<PathBuf>,
    /// Directories with everything below them.
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

impl FileArgs {
    /// Reads everything before anything is done with it: a mistake in the last file stops the first.
    pub fn read(&self) -> Result<Vec<Document>, anyhow::Error> {
        let mut documents = Vec::new();
        for path in &self.filename {
            if path.as_os_str() == "-" {
                let text = read_text(&mut std::io::stdin().lock()).context("standard input")?;
                documents.extend(parse("STDIN", &text)?);
                continue;
            }
            for file in files(path, self.recursive)? {
                let name = file.display().to_string();
                let mut reader = std::fs::File::open(&file)
                    .with_context(|| format!("the path {name:?} cannot be opened"))?;
                let text = read_text(&mut reader).with_context(|| name.clone())?;
                documents.extend(parse(&name, &text)?);
            }
            anyhow::ensure!(
                documents.len() <= OBJECTS_MAX,
                "more than {OBJECTS_MAX} objects: split them into several commands"
            );
        }
        anyhow::ensure!(
            !documents.is_empty(),
            "no objects passed: the files named with -f hold none"
        );
        Ok(documents)
    }
}

fn read_text(reader: &mut dyn Read) -> Result<String, anyhow::Error> {
    let mut bytes = Vec::new();
    reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(
        bytes.len() as u64 <= FILE_BYTES_MAX,
        "larger than {FILE_BYTES_MAX} bytes: split it"
    );
    String::from_utf8(bytes).context("not UTF-8 text")
}

/// The files a path means: itself, or a directory's manifests in order of name.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, anyhow::Error> {
    let metadata =
        std::fs::metadata(path).with_context(|| format!("the path {:?}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, recursive, DEPTH_MAX, &mut found)?;
    anyhow::ensure!(
        !found.is_empty(),
        "no .yaml, .yml or .json files in {:?}{}",
        path.display(),
        if recursive {
            ""
        } else {
            " (-R looks into subdirectories)"
        }
    );
    Ok(found)
}

fn walk(
    directory: &Path,
    recursive: bool,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), anyhow::Error> {
    let context = || format!("the directory {:?}", directory.display());
    anyhow::ensure!(depth > 0, "{}: nested too deep", context());
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(context)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(context)?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if recursive {
                walk(&entry, recursive, depth - 1, found)?;
            }
        } else if entry
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
        {
            found.push(entry);
        }
    }
    Ok(())
}

/// Splits `text` into documents and reads them; List kinds become their items.
pub fn parse(source: &str, text: &str) -> Result<Vec<Document>, anyhow::Error> {
    let mut documents = Vec::new();
    let raw = if text.trim_start().starts_with('{') {
        json_documents(source, text)?
    } else {
        yaml_documents(source, text)?
    };
    for document in raw {
        flatten(document, LIST_DEPTH_MAX, &mut documents)?;
    }
    Ok(documents)
}

fn yaml_documents(source: &str, text: &str) -> Result<Vec<Document>, anyhow::Error> {
    let mut documents = Vec::new();
    for (start, part) in split(text) {
        let blank = part
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with(['#', '%']));
        if blank {
            continue;
        }
        let number = documents.len() + 1;
        let options = serde_saphyr::options! {
            // As Kubernetes' own tools read YAML: `defaultMode: 0644` is 420.
            legacy_octal_numbers: true,
        };
        let object: Value =
            serde_saphyr::from_str_with_options(part, options).map_err(|error| {
                let line = error.location().map_or(1, |location| location.line()) as usize;
                let message = error.without_snippet().to_string();
                let message = message.lines().next().unwrap_or_default().to_owned();
                anyhow::anyhow!(
                    "error parsing {}: {message}",
                    place(source, number, start + line.saturating_sub(1))
                )
            })?;
        // The line a reader looks for is the first with content.
        let skipped = part
            .lines()
            .take_while(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
            .count();
        documents.push(Document {
            source: source.to_owned(),
            number,
            line: start + skipped,
            object,
        });
    }
    Ok(documents)
}

/// Parts between `---` lines, each with the number of its first line.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut begin_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            parts.push((begin_line, &text[begin..offset]));
            // What follows the marker on its line belongs to the document.
            begin = offset + 3;
            begin_line = index + 1;
        }
        offset += line.len();
    }
    parts.push((begin_line, &text[begin..]));
    parts
}

fn json_documents(source: &str, text: &str) -> Result<Vec<Document>, anyhow::Error> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let line = text[..stream.byte_offset()].matches('\n').count() + 1;
        let Some(next) = stream.next() else {
            return Ok(documents);
        };
        let number = documents.len() + 1;
        let object = next.map_err(|error| {
            anyhow::anyhow!(
                "error parsing {}: {error}",
                place(source, number, error.line().max(1))
            )
        })?;
        documents.push(Document {
            source: source.to_owned(),
            number,
            line,
            object,
        });
    }
}

fn flatten(
    mut document: Document,
    depth: usize,
    into: &mut Vec<Document>,
) -> Result<(), anyhow::Error> {
    let place = document.place();
    anyhow::ensure!(
        document.object.is_object(),
        "error parsing {place}: an object with apiVersion and kind is needed, not {}",
        kind_of(&document.object)
    );
    for field in ["apiVersion", "kind"] {
        let set = document.object[field]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        anyhow::ensure!(set, "error validating {place}: {field} not set");
    }
    let is_list = document.kind().ends_with("List") && document.object["items"].is_array();
    if !is_list {
        into.push(document);
        return Ok(());
    }
    anyhow::ensure!(depth > 0, "{place}: lists nested too deep");
    let item_kind = document
        .kind()
        .strip_suffix("List")
        .unwrap_or_default()
        .to_owned();
    let api_version = document.api_version().to_owned();
    if let Value::Array(items) = document.object["items"].take() {
        for mut object in items {
            // Items of a typed list (`PodList`) may leave out what the list says.
            if let Value::Object(map) = &mut object
                && !item_kind.is_empty()
            {
                map.entry("apiVersion")
                    .or_insert(api_version.clone().into());
                map.entry("kind").or_insert(item_kind.clone().into());
            }
            let item = Document {
                object,
                ..document.clone()
            };
            flatten(item, depth - 1, into)?;
        }
    }
    Ok(())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
