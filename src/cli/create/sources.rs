//! Where the entries of config maps and secrets come from: literals, files, directories, environment files.

use anyhow::Context;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest file: a config map or secret holds at most 1 MiB, so larger ones could never be kept.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Flags that name entries.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::struct_field_names, reason = "kubectl's flags")]
pub struct SourceArgs {
    /// `file`, `key=file` or a directory.
    #[arg(long, value_name = "[KEY=]PATH", value_delimiter = ',')]
    from_file: Vec<String>,
    /// `key=value`.
    #[arg(long, value_name = "KEY=VALUE")]
    from_literal: Vec<String>,
    /// A file of lines `key=value`.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    from_env_file: Vec<String>,
}

/// Values by key.
pub type Entries = BTreeMap<String, Vec<u8>>;

impl SourceArgs {
    pub fn read(&self) -> Result<Entries, anyhow::Error> {
        anyhow::ensure!(
            self.from_env_file.is_empty()
                || (self.from_file.is_empty() && self.from_literal.is_empty()),
            "from-env-file cannot be combined with from-file or from-literal"
        );
        let mut entries = Entries::new();
        for source in &self.from_file {
            from_file(source, &mut entries)?;
        }
        for source in &self.from_literal {
            let (key, value) = literal(source)?;
            add(&mut entries, key, value.into_bytes())?;
        }
        for path in &self.from_env_file {
            let bytes = read(Path::new(path))?;
            let text = String::from_utf8(bytes)
                .with_context(|| format!("env file {path} contains invalid utf8 bytes"))?;
            for (key, value) in env_lines(&text, |name| std::env::var(name).ok())? {
                add(&mut entries, key, value.into_bytes())?;
            }
        }
        Ok(entries)
    }
}

fn add(entries: &mut Entries, key: String, value: Vec<u8>) -> Result<(), anyhow::Error> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    anyhow::ensure!(
        !key.is_empty() && key.len() <= 253 && key.chars().all(fits) && key != "." && key != "..",
        "\"{key}\" is not valid key name: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    );
    anyhow::ensure!(
        !entries.contains_key(&key),
        "cannot add key \"{key}\", another key by that name already exists"
    );
    entries.insert(key, value);
    Ok(())
}

/// kubectl takes one pair of quotes off the value.
fn literal(source: &str) -> Result<(String, String), anyhow::Error> {
    let (key, value) = source
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .with_context(|| format!("invalid literal source {source}, expected key=value"))?;
    let quoted = |mark: char| value.len() >= 2 && value.starts_with(mark) && value.ends_with(mark);
    let value = if quoted('"') || quoted('\'') {
        &value[1..value.len() - 1]
    } else {
        value
    };
    Ok((key.to_owned(), value.to_owned()))
}

/// Key, where one is given, and path of a file source.
fn file_source(source: &str) -> Result<(Option<&str>, &str), anyhow::Error> {
    match source.split_once('=') {
        None => Ok((None, source)),
        Some((_, path)) if path.contains('=') => {
            anyhow::bail!("key names or file paths cannot contain '='")
        }
        Some(("", path)) => anyhow::bail!("key name for file path {path} missing"),
        Some((key, "")) => anyhow::bail!("file path for key name {key} missing"),
        Some((key, path)) => Ok((Some(key), path)),
    }
}

fn from_file(source: &str, entries: &mut Entries) -> Result<(), anyhow::Error> {
    let (key, path) = file_source(source)?;
    let path = Path::new(path);
    let metadata =
        std::fs::metadata(path).with_context(|| format!("error reading {}", path.display()))?;
    let base = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    if !metadata.is_dir() {
        let key = key.map_or_else(|| base(path), str::to_owned);
        return add(entries, key, read(path)?);
    }
    anyhow::ensure!(key.is_none(), "cannot give a key name for a directory path");
    let mut files = std::fs::read_dir(path)
        .and_then(|found| found.map(|entry| entry.map(|entry| entry.path())).collect())
        .map(|files: Vec<_>| files)
        .with_context(|| format!("error listing files in {}", path.display()))?;
    files.sort();
    // As kubectl: plain files only, neither directories nor links.
    for file in files {
        if std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            add(entries, base(&file), read(&file)?)?;
        }
    }
    Ok(())
}

/// A file a flag names.
pub fn read(path: &Path) -> Result<Vec<u8>, anyhow::Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("error reading {}", path.display()))?;
    anyhow::ensure!(
        bytes.len() as u64 <= FILE_BYTES_MAX,
        "error reading {}: larger than {FILE_BYTES_MAX} bytes",
        path.display()
    );
    Ok(bytes)
}

/// Lines `key=value`; a key alone takes its value from this process's environment.
fn env_lines(
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, anyhow::Error> {
    let mut found = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => (line, environment(line).unwrap_or_default()),
        };
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        anyhow::ensure!(
            !key.is_empty()
                && key.chars().all(fits)
                && !key.starts_with(|c: char| c.is_ascii_digit()),
            "\"{key}\" is not a valid key name: a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')"
        );
        found.push((key.to_owned(), value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sources_are_read_as_kubectl_reads_them() {
        assert_eq!(literal("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(literal("a='b'").unwrap(), ("a".into(), "b".into()));
        assert!(literal("a").is_err());
        assert_eq!(file_source("a/b").unwrap(), (None, "a/b"));
        assert_eq!(file_source("k=a/b").unwrap(), (Some("k"), "a/b"));
        for wrong in ["=a", "k=", "a=b=c"] {
            assert!(file_source(wrong).is_err(), "{wrong}");
        }
        let environment = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let lines = env_lines("\u{feff}# c\n\nA=1=2\n HOME\nB=", environment).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            lines,
            [pair("A", "1=2"), pair("HOME", "/root"), pair("B", "")]
        );
        assert!(env_lines("1A=2", environment).is_err());
    }

    #[test]
    fn keys_are_valid_and_single() {
        let mut entries = Entries::new();
        add(&mut entries, "a.b-c_d".to_owned(), Vec::new()).unwrap();
        for wrong in ["a.b-c_d", "", "..", "a/b"] {
            assert!(
                add(&mut entries, wrong.to_owned(), Vec::new()).is_err(),
                "{wrong}"
            );
        }
    }
}
