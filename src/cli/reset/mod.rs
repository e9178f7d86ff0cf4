//! `coracle reset`: the host as it was before Coracle came.
//!
//! Works from what the node noted before it put anything on the host, and then sweeps by name, so that it also
//! clears what a crash left. Safe to repeat.

mod cgroups;
mod mounts;
mod processes;
mod report;

use super::{Outcome, host};
use crate::network::Network;
use crate::node::record::HostRecord;
use crate::runtime::Runtime;
use anyhow::Context;
use report::Report;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    /// The node's run directory, where its data directory has no note of it.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Do not ask; stop the node if it runs.
    #[arg(short = 'f', long, visible_alias = "yes", visible_short_alias = 'y')]
    force: bool,
}

pub async fn run(args: ResetArgs, data_dir: PathBuf) -> Outcome {
    host::require_root("reset")?;
    guard(&data_dir)?;
    let record = match HostRecord::read(&data_dir) {
        // A note that a power cut spoilt must not stop the reset that is to follow it.
        Err(cause) if args.force => {
            eprintln!("note: {cause:#}; the default names are assumed");
            Some(HostRecord::assumed(args.run_dir.as_deref()))
        }
        record => record?,
    };
    let known = record.is_some();
    let mut record = record.unwrap_or_else(|| HostRecord::assumed(args.run_dir.as_deref()));
    if let Some(run_dir) = args.run_dir {
        record.run_dir = run_dir;
    }
    guard(&record.run_dir)?;
    refuse_foreign(&data_dir, known)?;
    let running = processes::of_node(&data_dir);
    if !args.force {
        if let Some(process) = running.first() {
            anyhow::bail!(
                "the node runs (process {process}): stop it first, or let `coracle reset --force` do it"
            );
        }
        confirm(&data_dir)?;
    }
    let mut report = Report::default();
    for process in running {
        processes::stop(process).await?;
        report.removed("node process", &process.to_string());
    }
    clear(&data_dir, &record, &mut report).await;
    report.finish()
}

/// Removes everything `record` names, and both directories. What fails is reported, and the rest still goes.
pub async fn clear_host(data_dir: &Path, record: &HostRecord) -> Outcome {
    let mut report = Report::quiet();
    clear(data_dir, record, &mut report).await;
    report.finish()
}

async fn clear(data_dir: &Path, record: &HostRecord, report: &mut Report) {
    match remove_pods(data_dir, record, report).await {
        Ok(()) => {}
        // The sweep below takes what the runtime could not.
        Err(cause) => report.note(&format!("pods could not be stopped in order: {cause:#}")),
    }
    for process in processes::left(&record.cgroup_root, &record.run_dir) {
        match processes::kill(process).await {
            Ok(()) => report.removed("process", &process.to_string()),
            Err(cause) => report.failed("process", &process.to_string(), &cause),
        }
    }
    mounts::remove_below(&[&data_dir.join("pods"), &record.run_dir], report);
    match Network::remove_all(&record.network).await {
        Ok(()) => report.removed("bridge and nftables table", &record.network.bridge),
        Err(cause) => report.failed("network", &record.network.bridge, &cause.into()),
    }
    cgroups::remove(&record.cgroup_root, report).await;
    for directory in [&record.run_dir, data_dir] {
        remove_directory(directory, report);
    }
}

async fn remove_pods(
    data_dir: &Path,
    record: &HostRecord,
    report: &mut Report,
) -> Result<(), anyhow::Error> {
    if !record.run_dir.join("pods").exists() {
        return Ok(());
    }
    let executable = std::env::current_exe()?;
    // The receiver is kept until the end: a runtime nobody listens to might stop.
    let (runtime, _events) = Runtime::open(record.runtime(data_dir, executable)).await?;
    for sandbox in runtime.sandboxes().await {
        let name = format!("{}/{}", sandbox.spec.namespace, sandbox.spec.name);
        match runtime.remove_sandbox(&sandbox.spec.pod_uid).await {
            Ok(()) => report.removed("pod", &name),
            Err(cause) => report.note(&format!("pod {name}: {cause}")),
        }
    }
    Ok(())
}

/// Refuses directories whose removal could only be a mistake.
fn guard(directory: &Path) -> Result<(), anyhow::Error> {
    let depth = directory
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .count();
    let climbs = directory
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    anyhow::ensure!(
        directory.is_absolute() && !climbs && depth >= 2,
        "{} cannot be a node's directory: an absolute path at least two levels deep is needed",
        directory.display()
    );
    Ok(())
}

/// A directory that holds files but no note of a node is somebody else's.
fn refuse_foreign(data_dir: &Path, known: bool) -> Result<(), anyhow::Error> {
    if known {
        return Ok(());
    }
    let Ok(mut entries) = std::fs::read_dir(data_dir) else {
        return Ok(());
    };
    anyhow::ensure!(
        entries.next().is_none(),
        "{} holds files but no host.json, so no node lived there; remove it by hand if it is to go",
        data_dir.display()
    );
    Ok(())
}

fn confirm(data_dir: &Path) -> Result<(), anyhow::Error> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "reset removes all pods, images and data in {}: say so with --yes",
        data_dir.display()
    );
    eprint!(
        "This removes all pods, images and data in {}. Go on? [y/N] ",
        data_dir.display()
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::Read::take(std::io::stdin().lock(), 16).read_line(&mut answer)?;
    anyhow::ensure!(
        matches!(answer.trim(), "y" | "Y" | "yes"),
        "nothing was removed"
    );
    Ok(())
}

fn remove_directory(directory: &Path, report: &mut Report) {
    let name = directory.display().to_string();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let removed = (|| {
        for entry in entries {
            let path = entry?.path();
            let directory = path.symlink_metadata()?.is_dir();
            if directory {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            }
            .with_context(|| path.display().to_string())?;
        }
        match std::fs::remove_dir(directory) {
            // Somebody mounted a disk here: it is theirs, and now empty.
            Err(cause) if cause.kind() == std::io::ErrorKind::ResourceBusy => Ok(()),
            result => result.context("the directory itself"),
        }
    })();
    match removed {
        Ok(()) => report.removed("directory", &name),
        Err(cause) => report.failed("directory", &name, &cause),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_directories_of_a_node_are_taken() {
        for (path, fits) in [
            ("/var/lib/coracle", true),
            ("/run/coracle", true),
            ("/", false),
            ("/var", false),
            ("var/lib/coracle", false),
            ("/var/lib/../../etc/x", false),
            ("", false),
        ] {
            assert_eq!(guard(Path::new(path)).is_ok(), fits, "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(refuse_foreign(dir.path(), false).is_ok());
        std::fs::write(dir.path().join("letter"), "dear").unwrap();
        assert!(refuse_foreign(dir.path(), false).is_err());
        assert!(refuse_foreign(dir.path(), true).is_ok());
        assert!(refuse_foreign(&dir.path().join("absent"), false).is_ok());
    }

    #[test]
    fn directories_go_with_their_contents() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("a/b")).unwrap();
        std::fs::write(data.join("a/b/c"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), data.join("link")).unwrap();
        remove_directory(&data, &mut Report::quiet());
        assert!(!data.exists() && dir.path().exists());
    }
}
