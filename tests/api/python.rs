//! The Python client of the Kubernetes project (`kubernetes` on PyPI) against the shared node: one script of `python/`
//! for each trial. It is installed once, into `target/python`; where that is not possible the trials say NOT RUN.

use crate::common::run;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub const TESTS: &[(&str, fn())] = &[
    ("objects", || script("objects")),
    ("watches", || script("watches")),
    ("workloads", || script("workloads")),
    ("containers", || script("containers")),
    ("dynamic", || script("dynamic")),
    ("application", || script("application")),
    ("access", || script("access")),
];

/// The release these scripts were written for.
const CLIENT: &str = "kubernetes==37.0.2";

fn script(name: &str) {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            println!("python::{name}: {CLIENT} cannot be installed: {why}. NOT RUN.");
            return;
        }
    };
    let namespace = format!("python-{name}");
    let node = crate::namespace(&namespace);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/python");
    // With bytecode written nowhere, since the scripts are in the source tree.
    run(Command::new(python)
        .arg("-B")
        .arg(directory.join(format!("{name}.py")))
        .env("KUBECONFIG", node.kubeconfig())
        .env("NAMESPACE", &namespace)
        .env("IMAGE", crate::busybox::IMAGE)
        .env("COLUMNS", "200"))
    .must();
}

/// An interpreter that has the client.
fn python() -> Result<&'static Path, &'static str> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = PYTHON.get_or_init(install);
    python.as_deref().map_err(String::as_str)
}

/// A virtual environment below `target`, whole once it has its mark.
fn install() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python");
    let python = directory.join("bin/python");
    let mark = directory.join("has");
    if std::fs::read_to_string(&mark).is_ok_and(|has| has == CLIENT) {
        return Ok(python);
    }
    let said = |error: std::io::Error| format!("{}: {error}", directory.display());
    if directory.exists() {
        std::fs::remove_dir_all(&directory).map_err(said)?;
    }
    must(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    must(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        CLIENT,
    ]))?;
    std::fs::write(&mark, CLIENT).map_err(said)?;
    Ok(python)
}

fn must(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default().to_owned();
    Err(format!("{command:?} ended with {}: {last}", output.status))
}
