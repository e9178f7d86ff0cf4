//! What a cgroup may use, as files of either version, and the writing of them: pods, classes of pods, all pods
//! together, and containers whose limits change while they run. (A container's first limits are set by `libcontainer`.)
//! <https://docs.kernel.org/admin-guide/cgroup-v1/index.html>, <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use super::Layout;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The period CPU quotas count in, microseconds: the kernel's and the kubelet's default.
pub const CPU_PERIOD_US: i64 = 100_000;
const SHARES_MIN: u64 = 2;
const SHARES_MAX: u64 = 262_144;
const WEIGHT_MAX: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// No limit of its own.
    Max,
    At(i64),
}

impl From<Option<i64>> for Bound {
    fn from(amount: Option<i64>) -> Bound {
        amount.map_or(Bound::Max, Bound::At)
    }
}

/// What a cgroup may use; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// As v1 counts: 1024 per CPU.
    pub cpu_shares: Option<u64>,
    /// Microseconds per `CPU_PERIOD_US`.
    pub cpu_quota_us: Option<Bound>,
    pub memory_bytes: Option<Bound>,
    pub pids: Option<Bound>,
    /// Bytes by page size, `2MB`.
    pub huge_pages: Vec<(String, i64)>,
}

/// What becomes of a limit whose controller this kernel does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Left out: whoever needs it is refused elsewhere.
    Skip,
    Refuse,
}

#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    #[error(
        "a limit of {0} needs the kernel's {0} controller, which is not enabled on this node; `coracle doctor` says how"
    )]
    NoController(&'static str),
    #[error("writing {value} to {file}: {cause}")]
    Write {
        file: String,
        value: String,
        cause: io::Error,
    },
}

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    controller: &'static str,
    file: String,
    value: String,
    /// It takes something away from the cgroup, rather than giving it back.
    limits: bool,
}

/// The weight of `shares`. <https://github.com/opencontainers/cgroups/pull/20> gives the curve: 2 is 1, 1024 is 100,
/// 262144 is 10000, and what lies between keeps its proportion to a default cgroup. The same as containers get.
pub fn weight(shares: u64) -> u64 {
    match shares {
        0..=SHARES_MIN => 1,
        SHARES_MAX.. => WEIGHT_MAX,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10_f64.powf(exponent).ceil() as u64).clamp(1, WEIGHT_MAX)
        }
    }
}

/// The files of `limits` in the order in which they are written.
fn entries(unified: bool, limits: &Limits) -> Vec<Entry> {
    let entry = |controller, file: &str, value: String, limits| Entry {
        controller,
        file: file.to_owned(),
        value,
        limits,
    };
    // v1 says -1 where v2 says max.
    let bound = |bound: Bound, none: &str| match bound {
        Bound::Max => (none.to_owned(), false),
        Bound::At(amount) => (amount.to_string(), true),
    };
    let mut list = Vec::new();
    if let Some(shares) = limits.cpu_shares {
        // A weight where there is no such controller is no limit that anybody misses.
        list.push(if unified {
            entry("cpu", "cpu.weight", weight(shares).to_string(), false)
        } else {
            let shares = shares.clamp(SHARES_MIN, SHARES_MAX);
            entry("cpu", "cpu.shares", shares.to_string(), false)
        });
    }
    if let Some(quota) = limits.cpu_quota_us {
        let (value, limited) = bound(quota, if unified { "max" } else { "-1" });
        list.push(if unified {
            entry(
                "cpu",
                "cpu.max",
                format!("{value} {CPU_PERIOD_US}"),
                limited,
            )
        } else {
            entry("cpu", "cpu.cfs_quota_us", value, limited)
        });
    }
    if let Some(bytes) = limits.memory_bytes {
        let (file, none) = if unified {
            ("memory.max", "max")
        } else {
            ("memory.limit_in_bytes", "-1")
        };
        let (value, limited) = bound(bytes, none);
        list.push(entry("memory", file, value, limited));
    }
    if let Some(count) = limits.pids {
        let (value, limited) = bound(count, "max");
        list.push(entry("pids", "pids.max", value, limited));
    }
    for (size, bytes) in &limits.huge_pages {
        let file = if unified { "max" } else { "limit_in_bytes" };
        let file = format!("hugetlb.{size}.{file}");
        list.push(entry("hugetlb", &file, bytes.to_string(), *bytes > 0));
    }
    list
}

/// Sets limits below one root. Clones are alike.
#[derive(Debug, Clone)]
pub struct Limiter {
    layout: Layout,
    root: String,
}

impl Limiter {
    pub fn new(layout: Layout, root: String) -> Limiter {
        Limiter { layout, root }
    }

    fn directory(&self, controller: &str, below: &str) -> Option<PathBuf> {
        let mut path = PathBuf::new();
        self.layout.controller_root(controller, &mut path)?;
        path.push(&self.root);
        if !below.is_empty() {
            path.push(below);
        }
        Some(path)
    }

    /// Sets `limits` on the cgroup `below` the root (empty: the root itself). Blocks: the kernel may have to write
    /// pages back before memory becomes less.
    ///
    /// # Errors
    /// The kernel refuses a value, or lacks a controller (huge pages: whatever `missing` says). What was written
    /// before stays.
    pub fn set(&self, below: &str, limits: &Limits, missing: Missing) -> Result<(), LimitError> {
        let unified = self.layout == Layout::Unified;
        for entry in entries(unified, limits) {
            let directory = self.directory(entry.controller, below);
            let file = directory
                .map(|d| d.join(&entry.file))
                .filter(|f| f.exists());
            let Some(file) = file else {
                let refuse = missing == Missing::Refuse || entry.controller == "hugetlb";
                if entry.limits && refuse {
                    return Err(LimitError::NoController(entry.controller));
                }
                continue;
            };
            let written = if entry.file == "memory.limit_in_bytes" {
                legacy_memory(&file, &entry.value)
            } else {
                fs::write(&file, &entry.value)
            };
            written.map_err(|cause| LimitError::Write {
                file: file.display().to_string(),
                value: entry.value,
                cause,
            })?;
        }
        Ok(())
    }

    /// Bytes of memory charged to `below`; `None` where that is not counted.
    pub fn memory_usage(&self, below: &str) -> Option<i64> {
        let file = match self.layout {
            Layout::Unified => "memory.current",
            Layout::Legacy(_) => "memory.usage_in_bytes",
        };
        let path = self.directory("memory", below)?.join(file);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

/// Memory with swap may never be less than memory alone, and follows it where it was as much: a container that got no
/// swap gets none afterwards.
fn legacy_memory(file: &Path, value: &str) -> io::Result<()> {
    let with_swap = file.with_file_name("memory.memsw.limit_in_bytes");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let (before, swap_before) = (read(file), read(&with_swap));
    if swap_before.is_empty() || before != swap_before {
        return fs::write(file, value);
    }
    if fs::write(file, value).is_ok() {
        return fs::write(&with_swap, value);
    }
    fs::write(&with_swap, value)?;
    fs::write(file, value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(unified: bool, limits: &Limits) -> Vec<String> {
        entries(unified, limits)
            .into_iter()
            .map(|e| format!("{}/{}={}", e.controller, e.file, e.value))
            .collect()
    }

    #[test]
    fn both_versions_say_the_same() {
        let limits = Limits {
            cpu_shares: Some(512),
            cpu_quota_us: Some(Bound::At(25_000)),
            memory_bytes: Some(Bound::At(1 << 20)),
            pids: Some(Bound::At(1024)),
            huge_pages: vec![("2MB".to_owned(), 4 << 20)],
        };
        assert_eq!(
            written(false, &limits),
            [
                "cpu/cpu.shares=512",
                "cpu/cpu.cfs_quota_us=25000",
                "memory/memory.limit_in_bytes=1048576",
                "pids/pids.max=1024",
                "hugetlb/hugetlb.2MB.limit_in_bytes=4194304",
            ]
        );
        assert_eq!(
            written(true, &limits),
            [
                "cpu/cpu.weight=59",
                "cpu/cpu.max=25000 100000",
                "memory/memory.max=1048576",
                "pids/pids.max=1024",
                "hugetlb/hugetlb.2MB.max=4194304",
            ]
        );
        let free = Limits {
            cpu_quota_us: Some(Bound::Max),
            memory_bytes: Some(Bound::Max),
            pids: Some(Bound::Max),
            ..Limits::default()
        };
        assert_eq!(
            written(false, &free),
            [
                "cpu/cpu.cfs_quota_us=-1",
                "memory/memory.limit_in_bytes=-1",
                "pids/pids.max=max"
            ]
        );
        assert_eq!(
            written(true, &free),
            [
                "cpu/cpu.max=max 100000",
                "memory/memory.max=max",
                "pids/pids.max=max"
            ]
        );
        assert_eq!(written(true, &Limits::default()), Vec::<String>::new());
    }

    #[test]
    fn weights_keep_the_ends_and_the_default() {
        for (shares, expected) in [
            (0, 1),
            (2, 1),
            (102, 17),
            (1024, 100),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn a_controller_that_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let memory = root.path().join("memory");
        fs::create_dir_all(memory.join("c/p")).unwrap();
        fs::write(memory.join("c/p/memory.limit_in_bytes"), "9").unwrap();
        let limiter = Limiter::new(Layout::Legacy(vec![memory.clone()]), "c".to_owned());
        let limits = Limits {
            cpu_quota_us: Some(Bound::At(1000)),
            memory_bytes: Some(Bound::At(5)),
            ..Limits::default()
        };
        let refused = limiter.set("p", &limits, Missing::Refuse).unwrap_err();
        assert!(refused.to_string().contains("cpu controller"), "{refused}");
        limiter.set("p", &limits, Missing::Skip).unwrap();
        let file = memory.join("c/p/memory.limit_in_bytes");
        assert_eq!(fs::read_to_string(file).unwrap(), "5");
        let huge = |bytes| Limits {
            huge_pages: vec![("2MB".to_owned(), bytes)],
            ..Limits::default()
        };
        assert!(limiter.set("p", &huge(1), Missing::Skip).is_err());
        assert!(limiter.set("p", &huge(0), Missing::Skip).is_ok());
    }
}
