//! `--fix`: what can be mended without harm, and is told.

use super::cgroup;
use super::cmdline::with_memory_controller;
use super::facts::{BootLine, Facts, Module};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mends; answers with a line per thing done or not done.
pub fn mend(root: &Path, facts: &Facts) -> Vec<String> {
    if !facts.is_root {
        return vec!["nothing mended: run `sudo coracle doctor --fix`".to_owned()];
    }
    let mut said = Vec::new();
    for (name, _) in facts
        .modules
        .iter()
        .filter(|(_, state)| *state == Module::Loadable)
    {
        said.push(outcome(&format!("loaded kernel module {name}"), load(name)));
    }
    if facts.ip_forward == Some(false) {
        let path = root.join("proc/sys/net/ipv4/ip_forward");
        said.push(outcome("switched ip_forward on", fs::write(path, "1")));
    }
    let lacks_memory =
        cgroup::NEEDED.contains(&"memory") && !facts.cgroup_controllers.contains("memory");
    if let (true, Some(line)) = (lacks_memory, &facts.boot_line) {
        match with_memory_controller(&line.text) {
            Ok(None) => {}
            Ok(Some(edited)) => {
                let backup = backup_path(&line.path);
                let what = format!(
                    "switched the memory controller on in {} (the former file is {}): reboot now",
                    line.path.display(),
                    backup.display()
                );
                said.push(outcome(&what, replace(line, &edited)));
            }
            Err(error) => said.push(format!("left {} alone: {error}", line.path.display())),
        }
    }
    said
}

fn outcome(what: &str, result: io::Result<()>) -> String {
    match result {
        Ok(()) => format!("fixed {what}"),
        Err(error) => format!("not fixed: {what}: {error}"),
    }
}

fn load(module: &str) -> io::Result<()> {
    let status = Command::new("modprobe").arg(module).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("modprobe ended with {status}")))
    }
}

fn backup_path(path: &Path) -> PathBuf {
    path.with_extension("txt.before-coracle")
}

/// Keeps the former file, then puts the new text in its place in one step: power may go at any moment, and a board
/// whose boot line is cut short does not start.
fn replace(line: &BootLine, text: &str) -> io::Result<()> {
    let backup = backup_path(&line.path);
    if !backup.exists() {
        write_durably(&backup, &line.text)?;
    }
    let new = line.path.with_extension("txt.new");
    write_durably(&new, text)?;
    fs::rename(&new, &line.path)?;
    match line.path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
