//! Which control groups this machine has (v1, hybrid, v2), and the few things done to them here:
//! joining, killing, counting OOM kills, removing. Limits are set by `libcontainer`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
/// Rounds of killing what forks while it is being killed; with the pause, 10 s in all.
const KILL_ROUNDS_MAX: u32 = 2_000;
const KILL_PAUSE: Duration = Duration::from_millis(5);
/// Attempts at creating a cgroup whose parents others remove meanwhile; each lost one is a whole removal elsewhere.
const CREATE_ATTEMPTS_MAX: u32 = 100;
/// Depth of cgroups below a pod's that is still cleaned (containers may make their own).
const DEPTH_MAX: u32 = 16;

/// The hierarchies, each by its mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    Unified,
    /// v1 and hybrid: one hierarchy per controller set.
    Legacy(Vec<PathBuf>),
}

/// Looks at what is mounted on `/sys/fs/cgroup`.
pub fn layout() -> io::Result<Layout> {
    let stat = nix::sys::statfs::statfs(ROOT).map_err(io::Error::from)?;
    if stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC {
        return Ok(Layout::Unified);
    }
    Ok(Layout::Legacy(legacy_mounts(&fs::read_to_string(
        "/proc/self/mountinfo",
    )?)))
}

/// Mount points of v1 hierarchies (and the hybrid's unified one) in a mountinfo table, proc(5).
fn legacy_mounts(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let kind = back.split(' ').next()?;
            let point = front.split(' ').nth(4)?;
            (kind.starts_with("cgroup") && point.starts_with(ROOT)).then(|| PathBuf::from(point))
        })
        .collect()
}

impl Layout {
    fn roots(&self) -> Vec<PathBuf> {
        match self {
            Layout::Unified => vec![PathBuf::from(ROOT)],
            Layout::Legacy(mounts) => mounts.clone(),
        }
    }

    /// Puts the mount point of the hierarchy with `controller` into `path`; `None`: there is none.
    pub fn controller_root(&self, controller: &str, path: &mut PathBuf) -> Option<()> {
        match self {
            Layout::Unified => path.push(ROOT),
            // Controllers may be mounted together: `cpu,cpuacct`.
            Layout::Legacy(mounts) => path.push(mounts.iter().find(|mount| {
                mount
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.split(',').any(|one| one == controller))
            })?),
        }
        Some(())
    }

    /// Directories of `cgroup` in every hierarchy.
    pub fn directories(&self, cgroup: &str) -> Vec<PathBuf> {
        self.roots()
            .into_iter()
            .map(|root| root.join(cgroup.trim_start_matches('/')))
            .collect()
    }

    /// Creates `cgroup`; on v2 hands the controllers down to it (a cgroup with children of its own holds no process).
    pub fn create(&self, cgroup: &str) -> io::Result<()> {
        undisturbed(|| self.create_once(cgroup))
    }

    /// Creates `cgroup` and moves the calling process there.
    pub fn create_and_join(&self, cgroup: &str) -> io::Result<()> {
        undisturbed(|| {
            self.create_once(cgroup)?;
            self.join(cgroup)
        })
    }

    fn create_once(&self, cgroup: &str) -> io::Result<()> {
        match self {
            Layout::Unified => {
                let mut at = PathBuf::from(ROOT);
                for part in cgroup.split('/').filter(|p| !p.is_empty()) {
                    hand_down(&at)?;
                    at.push(part);
                    create_directory(&at)?;
                }
                Ok(())
            }
            Layout::Legacy(_) => {
                for directory in self.directories(cgroup) {
                    fs::create_dir_all(directory)?;
                }
                Ok(())
            }
        }
    }

    /// Moves the calling process.
    pub fn join(&self, cgroup: &str) -> io::Result<()> {
        let pid = std::process::id().to_string();
        for directory in self.directories(cgroup) {
            // A v1 cpuset without CPUs takes no process: it inherits nothing by itself.
            inherit_cpuset(&directory)?;
            fs::write(directory.join("cgroup.procs"), &pid)?;
        }
        Ok(())
    }

    /// Everybody in `cgroup`, without those below it.
    pub fn processes(&self, cgroup: &str) -> Vec<i32> {
        let mut found: Vec<i32> = self
            .directories(cgroup)
            .iter()
            .flat_map(|directory| processes(directory))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many processes the kernel killed here for want of memory.
    pub fn oom_kills(&self, cgroup: &str) -> u64 {
        let file = match self {
            Layout::Unified => Path::new(ROOT).join(cgroup).join("memory.events"),
            Layout::Legacy(_) => Path::new(ROOT)
                .join("memory")
                .join(cgroup)
                .join("memory.oom_control"),
        };
        fs::read_to_string(file).map_or(0, |text| field(&text, "oom_kill"))
    }

    /// Kills every process in `cgroup` and below; `reap` is called between rounds.
    pub fn kill_all(&self, cgroup: &str, reap: &mut dyn FnMut()) -> io::Result<()> {
        for _ in 0..KILL_ROUNDS_MAX {
            let mut alive = false;
            for directory in self.directories(cgroup) {
                if !directory.exists() {
                    continue;
                }
                // Since Linux 5.14; whoever lacks it has the loop.
                let _ = fs::write(directory.join("cgroup.kill"), "1");
                visit(&directory, 0, &mut |d| {
                    for pid in processes(d) {
                        alive = true;
                        // 0 is a process of another PID namespace; signalling it would mean ourselves.
                        if pid > 0 {
                            let _ = nix::sys::signal::kill(
                                nix::unistd::Pid::from_raw(pid),
                                nix::sys::signal::Signal::SIGKILL,
                            );
                        }
                    }
                });
            }
            reap();
            if !alive {
                return Ok(());
            }
            std::thread::sleep(KILL_PAUSE);
        }
        Err(io::Error::other(format!(
            "processes in cgroup {cgroup} survive SIGKILL; look for ones in state D"
        )))
    }

    /// Sends SIGKILL to every process in `cgroup` and below, once.
    pub fn signal_all(&self, cgroup: &str) {
        for directory in self.directories(cgroup) {
            visit(&directory, 0, &mut |d| {
                for pid in processes(d).into_iter().filter(|pid| *pid > 0) {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                }
            });
        }
    }

    /// Removes `cgroup` with everything below it, in every hierarchy. Absent is fine.
    pub fn remove(&self, cgroup: &str) -> io::Result<()> {
        for directory in self.directories(cgroup) {
            remove_tree(&directory, 0)?;
        }
        Ok(())
    }

    /// Removes empty parents of `cgroup`, as far as and including its first part.
    pub fn remove_empty_parents(&self, cgroup: &str) {
        let mut at = cgroup.trim_matches('/').to_owned();
        while !at.is_empty() {
            for directory in self.directories(&at) {
                let _ = fs::remove_dir(directory);
            }
            at = at
                .rsplit_once('/')
                .map_or(String::new(), |(p, _)| p.to_owned());
        }
    }
}

/// Another pod's removal takes away parents that are empty, also just before something is put into them: then again.
fn undisturbed(work: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut result = work();
    for _ in 1..CREATE_ATTEMPTS_MAX {
        match &result {
            // ENODEV: opened before, written after the removal.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(libc::ENODEV) =>
            {
                result = work();
            }
            _ => break,
        }
    }
    result
}

fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Enables for the children what this cgroup has; each by itself, so that one refusal costs one controller.
fn hand_down(directory: &Path) -> io::Result<()> {
    let controllers = fs::read_to_string(directory.join("cgroup.controllers"))?;
    for controller in controllers.split_whitespace() {
        if ["cpu", "memory", "pids", "io", "cpuset"].contains(&controller) {
            let _ = fs::write(
                directory.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
    Ok(())
}

fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = directory.join(name);
        // Only v1 has `cpuset.cpu_exclusive`; v2 inherits by itself.
        if !directory.join("cpuset.cpu_exclusive").exists()
            || !fs::read_to_string(&file)?.trim().is_empty()
        {
            continue;
        }
        if let Some(parent) = directory.parent() {
            inherit_cpuset(parent)?;
            fs::write(&file, fs::read_to_string(parent.join(name))?.trim())?;
        }
    }
    Ok(())
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn processes(directory: &Path) -> Vec<i32> {
    fs::read_to_string(directory.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect()
}

fn children(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn visit(directory: &Path, depth: u32, each: &mut dyn FnMut(&Path)) {
    each(directory);
    if depth < DEPTH_MAX {
        for child in children(directory) {
            visit(&child, depth + 1, each);
        }
    }
}

fn remove_tree(directory: &Path, depth: u32) -> io::Result<()> {
    if depth < DEPTH_MAX {
        for child in children(directory) {
            remove_tree(&child, depth + 1)?;
        }
    }
    // A dying process keeps its cgroup busy for a moment after it was reaped.
    for _ in 0..KILL_ROUNDS_MAX {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                if !processes(directory).is_empty() {
                    return Err(error);
                }
                std::thread::sleep(KILL_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_mount_table_names_each_hierarchy() {
        let table = "30 1 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                     31 30 0:2 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory\n\
                     32 30 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            legacy_mounts(table),
            [
                PathBuf::from("/sys/fs/cgroup/memory"),
                PathBuf::from("/sys/fs/cgroup/unified")
            ]
        );
    }

    #[test]
    fn a_lost_race_is_run_again_and_other_errors_are_told() {
        let left = std::cell::Cell::new(3);
        let work = |kind: io::ErrorKind| {
            left.set(left.get() - 1);
            if left.get() > 0 {
                Err(kind.into())
            } else {
                Ok(())
            }
        };
        assert!(undisturbed(|| work(io::ErrorKind::NotFound)).is_ok());
        left.set(3);
        assert!(undisturbed(|| work(io::ErrorKind::PermissionDenied)).is_err());
        assert!(undisturbed(|| Err(io::ErrorKind::NotFound.into())).is_err());
    }

    #[test]
    fn oom_kills_are_read_from_both_formats() {
        for (text, kills) in [
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
            ("low 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n", 2),
            ("", 0),
        ] {
            assert_eq!(field(text, "oom_kill"), kills);
        }
    }
}
