//! What a cgroup has used: CPU, memory, processes; read from cgroup v1, hybrid and v2 files.
//! <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>, <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use super::cgroups::Layout;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// `cpuacct.stat` counts in USER_HZ, which is 100 on every architecture we run on.
const TICK_NS: u64 = 10_000_000;
/// Larger than any of these files; a longer one would be cut, and reads as far as it goes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// v1's "no limit" is the largest page-aligned number; anything this large is none.
const LIMIT_NONE_MIN: u64 = 1 << 62;

/// Counters since the cgroup was made, and present amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupUsage {
    pub cpu_ns: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    /// Periods with a quota, those of them it ran out in, and the time waited then.
    pub cpu_periods: u64,
    pub cpu_throttled_periods: u64,
    pub cpu_throttled_ns: u64,
    pub memory_bytes: u64,
    /// Highest `memory_bytes`; 0 where the kernel does not say (v2 before Linux 5.19).
    pub memory_max_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    /// Anonymous memory.
    pub rss_bytes: u64,
    pub cache_bytes: u64,
    pub mapped_bytes: u64,
    pub inactive_file_bytes: u64,
    pub swap_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    /// How often the limit was hit.
    pub memory_limit_hits: u64,
    pub oom_kills: u64,
    /// Processes and threads.
    pub pids: u64,
    pub pids_limit: Option<u64>,
}

impl CgroupUsage {
    /// What cannot be taken back without harm: all but file pages nobody used lately.
    /// <https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/>
    pub fn working_set_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.inactive_file_bytes)
    }
}

/// Reads usage; its buffers are kept from one cgroup to the next.
#[derive(Debug)]
pub struct CgroupReader {
    layout: Layout,
    path: PathBuf,
    text: Vec<u8>,
}

impl CgroupReader {
    pub fn new(layout: Layout) -> CgroupReader {
        CgroupReader {
            layout,
            path: PathBuf::new(),
            text: Vec::new(),
        }
    }

    /// Of `cgroup` (a path below each hierarchy's root) with all below it; `None`: it is not there.
    pub fn read(&mut self, cgroup: &str) -> Option<CgroupUsage> {
        let mut usage = CgroupUsage::default();
        match &self.layout {
            Layout::Unified => self.read_unified(cgroup, &mut usage)?,
            Layout::Legacy(_) => self.read_legacy(cgroup, &mut usage)?,
        }
        Some(usage)
    }

    fn read_unified(&mut self, cgroup: &str, usage: &mut CgroupUsage) -> Option<()> {
        unified_cpu(self.file("", cgroup, "cpu.stat")?, usage);
        if let Some(text) = self.file("", cgroup, "memory.stat") {
            unified_memory(text, usage);
        }
        for (name, target) in [
            ("memory.current", &mut usage.memory_bytes),
            ("memory.peak", &mut usage.memory_max_bytes),
            ("memory.swap.current", &mut usage.swap_bytes),
            ("pids.current", &mut usage.pids),
        ] {
            *target = self.file("", cgroup, name).and_then(number).unwrap_or(0);
        }
        if let Some(text) = self.file("", cgroup, "memory.events") {
            usage.oom_kills = field(text, "oom_kill");
            usage.memory_limit_hits = field(text, "max");
        }
        usage.memory_limit_bytes = self.file("", cgroup, "memory.max").and_then(number);
        usage.pids_limit = self.file("", cgroup, "pids.max").and_then(number);
        Some(())
    }

    fn read_legacy(&mut self, cgroup: &str, usage: &mut CgroupUsage) -> Option<()> {
        usage.cpu_ns = self
            .file("cpuacct", cgroup, "cpuacct.usage")
            .and_then(number)?;
        if let Some(text) = self.file("cpuacct", cgroup, "cpuacct.stat") {
            usage.cpu_user_ns = field(text, "user").saturating_mul(TICK_NS);
            usage.cpu_system_ns = field(text, "system").saturating_mul(TICK_NS);
        }
        if let Some(text) = self.file("cpu", cgroup, "cpu.stat") {
            usage.cpu_periods = field(text, "nr_periods");
            usage.cpu_throttled_periods = field(text, "nr_throttled");
            usage.cpu_throttled_ns = field(text, "throttled_time");
        }
        if let Some(text) = self.file("memory", cgroup, "memory.stat") {
            legacy_memory(text, usage);
        }
        for (name, target) in [
            ("memory.usage_in_bytes", &mut usage.memory_bytes),
            ("memory.max_usage_in_bytes", &mut usage.memory_max_bytes),
            ("memory.failcnt", &mut usage.memory_limit_hits),
        ] {
            *target = self
                .file("memory", cgroup, name)
                .and_then(number)
                .unwrap_or(0);
        }
        if let Some(text) = self.file("memory", cgroup, "memory.oom_control") {
            usage.oom_kills = field(text, "oom_kill");
        }
        usage.memory_limit_bytes = self
            .file("memory", cgroup, "memory.limit_in_bytes")
            .and_then(number)
            .filter(|limit| *limit < LIMIT_NONE_MIN);
        usage.pids = self
            .file("pids", cgroup, "pids.current")
            .and_then(number)
            .unwrap_or(0);
        usage.pids_limit = self.file("pids", cgroup, "pids.max").and_then(number);
        Some(())
    }

    /// The text of one file; on v2 the controller is of no matter.
    fn file(&mut self, controller: &str, cgroup: &str, name: &str) -> Option<&str> {
        self.path.clear();
        self.layout.controller_root(controller, &mut self.path)?;
        self.path.push(cgroup.trim_start_matches('/'));
        self.path.push(name);
        self.text.clear();
        File::open(&self.path)
            .ok()?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut self.text)
            .ok()?;
        std::str::from_utf8(&self.text).ok()
    }
}

/// A file with one number; `max` is none.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// A line `name number`; 0 where it is not there.
fn field(text: &str, name: &str) -> u64 {
    pairs(text)
        .find(|(key, _)| *key == name)
        .map_or(0, |(_, value)| value)
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// `cpu.stat` of v2.
fn unified_cpu(text: &str, usage: &mut CgroupUsage) {
    for (key, value) in pairs(text) {
        match key {
            "usage_usec" => usage.cpu_ns = value.saturating_mul(1000),
            "user_usec" => usage.cpu_user_ns = value.saturating_mul(1000),
            "system_usec" => usage.cpu_system_ns = value.saturating_mul(1000),
            "nr_periods" => usage.cpu_periods = value,
            "nr_throttled" => usage.cpu_throttled_periods = value,
            "throttled_usec" => usage.cpu_throttled_ns = value.saturating_mul(1000),
            _ => {}
        }
    }
}

/// `memory.stat` of v2.
fn unified_memory(text: &str, usage: &mut CgroupUsage) {
    for (key, value) in pairs(text) {
        match key {
            "anon" => usage.rss_bytes = value,
            "file" => usage.cache_bytes = value,
            "file_mapped" => usage.mapped_bytes = value,
            "inactive_file" => usage.inactive_file_bytes = value,
            "pgfault" => usage.page_faults = value,
            "pgmajfault" => usage.major_page_faults = value,
            _ => {}
        }
    }
}

/// `memory.stat` of v1: `total_` counts what is below as well.
fn legacy_memory(text: &str, usage: &mut CgroupUsage) {
    for (key, value) in pairs(text) {
        match key {
            "total_rss" => usage.rss_bytes = value,
            "total_cache" => usage.cache_bytes = value,
            "total_mapped_file" => usage.mapped_bytes = value,
            "total_inactive_file" => usage.inactive_file_bytes = value,
            "total_swap" => usage.swap_bytes = value,
            "total_pgfault" => usage.page_faults = value,
            "total_pgmajfault" => usage.major_page_faults = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Of a Linux 6.18 machine with a hybrid hierarchy, shortened.
    const V1_MEMORY: &str = "cache 9961472\nrss 14487552\nrss_huge 0\nmapped_file 7557120\nswap 0\npgfault 137123\n\
        inactive_file 12288\nhierarchical_memory_limit 9223372036854771712\ntotal_cache 883118080\n\
        total_rss 26480640\ntotal_rss_huge 0\ntotal_mapped_file 16048128\ntotal_swap 4096\ntotal_pgfault 354697186\n\
        total_pgmajfault 117749\ntotal_inactive_anon 11767808\ntotal_inactive_file 781271040\n";
    /// Of a Linux 6.12 board with pure v2, shortened.
    const V2_MEMORY: &str = "anon 1409024\nfile 7241728\nkernel 1339392\nkernel_stack 49152\nfile_mapped 2162688\n\
        file_dirty 0\nanon_thp 0\ninactive_anon 1368064\nactive_anon 16384\ninactive_file 5005312\nactive_file 2236416\n\
        pgfault 5081\npgmajfault 33\n";
    const V2_CPU: &str = "usage_usec 1845034\nuser_usec 1202003\nsystem_usec 643031\nnice_usec 0\n\
        nr_periods 120\nnr_throttled 7\nthrottled_usec 310055\nnr_bursts 0\nburst_usec 0\n";

    #[test]
    fn memory_of_both_versions() {
        let mut old = CgroupUsage {
            memory_bytes: 900_000_000,
            ..CgroupUsage::default()
        };
        legacy_memory(V1_MEMORY, &mut old);
        assert_eq!(
            (
                old.rss_bytes,
                old.cache_bytes,
                old.mapped_bytes,
                old.swap_bytes
            ),
            (26_480_640, 883_118_080, 16_048_128, 4096)
        );
        assert_eq!(
            (old.page_faults, old.major_page_faults),
            (354_697_186, 117_749)
        );
        assert_eq!(old.working_set_bytes(), 900_000_000 - 781_271_040);
        let mut new = CgroupUsage {
            memory_bytes: 4_000_000,
            ..CgroupUsage::default()
        };
        unified_memory(V2_MEMORY, &mut new);
        assert_eq!(
            (new.rss_bytes, new.cache_bytes, new.mapped_bytes),
            (1_409_024, 7_241_728, 2_162_688)
        );
        // The two files are not read at one moment: less than nothing is nothing.
        assert_eq!(new.working_set_bytes(), 0);
    }

    #[test]
    fn cpu_of_version_two() {
        let mut usage = CgroupUsage::default();
        unified_cpu(V2_CPU, &mut usage);
        assert_eq!(usage.cpu_ns, 1_845_034_000);
        assert_eq!(
            (usage.cpu_user_ns, usage.cpu_system_ns),
            (1_202_003_000, 643_031_000)
        );
        assert_eq!((usage.cpu_periods, usage.cpu_throttled_periods), (120, 7));
        assert_eq!(usage.cpu_throttled_ns, 310_055_000);
    }

    #[test]
    fn single_numbers_and_none() {
        for (text, expected) in [
            ("42\n", Some(42)),
            ("max\n", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(number(text), expected);
        }
        assert_eq!(field("low 0\nmax 9\noom_kill 2\n", "max"), 9);
    }

    #[test]
    fn whole_cgroups_are_read_where_each_version_has_them() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("cpu,cpuacct/c/p/cpuacct.usage", "5000000\n");
        write("cpu,cpuacct/c/p/cpuacct.stat", "user 3\nsystem 2\n");
        write(
            "cpu,cpuacct/c/p/cpu.stat",
            "nr_periods 4\nnr_throttled 1\nthrottled_time 99\n",
        );
        write("memory/c/p/memory.stat", V1_MEMORY);
        write("memory/c/p/memory.usage_in_bytes", "800000000\n");
        write("memory/c/p/memory.limit_in_bytes", "9223372036854771712\n");
        write(
            "memory/c/p/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        );
        write("pids/c/p/pids.current", "3\n");
        write("pids/c/p/pids.max", "1024\n");
        let mounts = ["cpu,cpuacct", "memory", "pids"].map(|name| root.path().join(name));
        let mut reader = CgroupReader::new(Layout::Legacy(mounts.to_vec()));
        let usage = reader.read("c/p").unwrap();
        assert_eq!((usage.cpu_ns, usage.cpu_user_ns), (5_000_000, 30_000_000));
        assert_eq!((usage.cpu_periods, usage.cpu_throttled_ns), (4, 99));
        assert_eq!(
            (usage.memory_bytes, usage.memory_limit_bytes),
            (800_000_000, None)
        );
        assert_eq!(
            (usage.oom_kills, usage.pids, usage.pids_limit),
            (1, 3, Some(1024))
        );
        assert_eq!(reader.read("c/absent"), None);
    }
}
