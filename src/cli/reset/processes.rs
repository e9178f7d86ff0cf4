//! Processes of a node: itself, its shims, what runs in its cgroups.

use super::cgroups;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a node gets to stop in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// What the kernel gets to end a killed process.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Node processes: those with a file of the data directory open, other than pods' files, which shims hold.
pub fn of_node(data_dir: &Path) -> Vec<i32> {
    let Ok(data_dir) = data_dir.canonicalize() else {
        return Vec::new();
    };
    let pods = data_dir.join("pods");
    all()
        .filter(|process| {
            let holds = open_files(*process)
                .any(|path| path.starts_with(&data_dir) && !path.starts_with(&pods));
            holds && arguments(*process).get(1).is_none_or(|verb| verb != "shim")
        })
        .collect()
}

/// Whatever still runs in the node's cgroups, and its shims.
pub fn left(cgroup_root: &str, run_dir: &Path) -> BTreeSet<i32> {
    let in_cgroups = cgroups::directories(cgroup_root)
        .into_iter()
        .flat_map(|directory| cgroups::tree(&directory))
        .flat_map(|cgroup| {
            let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            text.lines()
                .filter_map(|line| line.parse().ok())
                .collect::<Vec<i32>>()
        });
    let run_dir = run_dir.display().to_string();
    let shims = all().filter(|process| {
        let arguments = arguments(*process);
        arguments.get(1).is_some_and(|verb| verb == "shim")
            && arguments.iter().any(|argument| argument.contains(&run_dir))
    });
    // Process 0 stands for one outside this namespace.
    let own = std::process::id() as i32;
    in_cgroups
        .chain(shims)
        .filter(|process| *process > 1 && *process != own)
        .collect()
}

fn all() -> impl Iterator<Item = i32> {
    let own = std::process::id() as i32;
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(move |process| *process != own)
}

fn open_files(process: i32) -> impl Iterator<Item = std::path::PathBuf> {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
}

fn arguments(process: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// SIGTERM, and SIGKILL where that does not help.
pub async fn stop(process: i32) -> Result<(), anyhow::Error> {
    signal(process, Signal::SIGTERM)?;
    if gone(process, STOP_TIMEOUT).await {
        return Ok(());
    }
    kill(process).await
}

pub async fn kill(process: i32) -> Result<(), anyhow::Error> {
    signal(process, Signal::SIGKILL)?;
    anyhow::ensure!(
        gone(process, KILL_TIMEOUT).await,
        "it does not end though it was killed (a device or a remote filesystem holds it)"
    );
    Ok(())
}

fn signal(process: i32, signal: Signal) -> Result<(), Errno> {
    match send(Pid::from_raw(process), signal) {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}

/// Whether it ended; a zombie counts as ended, its parent will reap it.
async fn gone(process: i32, timeout: Duration) -> bool {
    let end = Instant::now() + timeout;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The state stands behind the name, which may itself hold parentheses.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        if matches!(state, None | Some(b'Z' | b'X')) {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_process_with_an_open_file_is_found_and_stopped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pods")).unwrap();
        std::fs::write(dir.path().join("db"), "x").unwrap();
        std::fs::write(dir.path().join("pods/log"), "x").unwrap();
        let holder = |file: &str| {
            let file = std::fs::File::open(dir.path().join(file)).unwrap();
            std::process::Command::new("sleep")
                .arg("600")
                .stdin(file)
                .spawn()
                .unwrap()
        };
        let mut node = holder("db");
        let mut shim = holder("pods/log");
        let id = node.id() as i32;
        assert_eq!(of_node(dir.path()), [id]);
        stop(id).await.unwrap();
        assert_eq!(of_node(dir.path()), Vec::<i32>::new());
        node.wait().unwrap();
        shim.kill().unwrap();
        shim.wait().unwrap();
    }
}
