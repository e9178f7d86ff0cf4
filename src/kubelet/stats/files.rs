//! What the whole machine uses, from /proc and statvfs(3).

use super::types::{NodeMemory, NodeUsage};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// `/proc/stat` counts in USER_HZ.
const TICK_NS: u64 = 10_000_000;
/// Enough of `/proc/stat` for its first line and `btime`… on machines with some hundred CPUs; interrupts come between.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Reads the machine's files into one buffer.
#[derive(Debug, Default)]
pub struct NodeFiles {
    text: Vec<u8>,
}

impl NodeFiles {
    fn read(&mut self, path: &str) -> &str {
        self.text.clear();
        if let Ok(file) = File::open(path) {
            // What cannot be read stays empty; every parser takes that for zeros.
            let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut self.text);
        }
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    pub fn memory(&mut self) -> NodeMemory {
        memory(self.read("/proc/meminfo"))
    }

    /// Tasks there are, and how many there can be.
    pub fn pids(&mut self) -> (u64, u64) {
        let tasks = tasks(self.read("/proc/loadavg"));
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
        let pid_max = number(self.read("/proc/sys/kernel/pid_max"));
        let threads_max = number(self.read("/proc/sys/kernel/threads-max"));
        // Both bound what can be started (upstream takes the smaller one as well); 0 is a file that could not be read.
        let max = [pid_max, threads_max].into_iter().filter(|n| *n > 0).min();
        (tasks, max.unwrap_or(0))
    }

    pub fn usage(&mut self) -> NodeUsage {
        let (cpu_ns, started_ms) = processor(self.read("/proc/stat"));
        let (pids, pids_max) = self.pids();
        let interfaces = super::network::parse_host(self.read("/proc/net/dev"));
        let memory = self.memory();
        let events = self.read("/proc/vmstat");
        NodeUsage {
            started_ms,
            cpu_ns,
            memory,
            page_faults: field(events, "pgfault"),
            major_page_faults: field(events, "pgmajfault"),
            pids,
            pids_max,
            interfaces,
            ..NodeUsage::default()
        }
    }
}

/// A line of /proc/meminfo, bytes; 0 where it is not there.
pub fn meminfo(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

fn memory(text: &str) -> NodeMemory {
    NodeMemory {
        total: meminfo(text, "MemTotal"),
        free: meminfo(text, "MemFree"),
        inactive_file: meminfo(text, "Inactive(file)"),
        rss: meminfo(text, "AnonPages"),
        swap_total: meminfo(text, "SwapTotal"),
        swap_free: meminfo(text, "SwapFree"),
    }
}

/// CPU time spent on work, and the time of boot (Unix milliseconds), from /proc/stat: user, nice, system, idle, iowait,
/// irq, softirq, steal; time given to guests is in user's already.
fn processor(text: &str) -> (u64, i64) {
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let mut ticks: u64 = 0;
    if words.next() == Some("cpu") {
        for (number, word) in words.take(7).enumerate() {
            if !matches!(number, 3 | 4) {
                ticks = ticks.saturating_add(word.parse().unwrap_or(0));
            }
        }
    }
    let booted = i64::try_from(field(text, "btime")).unwrap_or(0);
    (ticks.saturating_mul(TICK_NS), booted.saturating_mul(1000))
}

/// `/proc/loadavg`: the fourth field is `running/all`.
fn tasks(text: &str) -> u64 {
    text.split_whitespace()
        .nth(3)
        .and_then(|field| field.split_once('/'))
        .and_then(|(_, all)| all.parse().ok())
        .unwrap_or(0)
}

/// A line `name number`; 0 where it is not there.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// A filesystem's room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filesystem {
    pub capacity_bytes: u64,
    pub available_bytes: u64,
    pub used_bytes: u64,
    pub inodes: u64,
    pub inodes_free: u64,
}

/// The filesystem `path` is on; `path` may not be there yet, its nearest parent is on the same one.
pub fn filesystem(path: &Path) -> Option<Filesystem> {
    let at = path.ancestors().find(|parent| parent.exists())?;
    let stat = nix::sys::statvfs::statvfs(at).ok()?;
    #[allow(
        clippy::useless_conversion,
        reason = "32-bit targets have narrower fields"
    )]
    let (size, blocks, free, available, inodes, inodes_free) = (
        u64::from(stat.fragment_size()),
        u64::from(stat.blocks()),
        u64::from(stat.blocks_free()),
        u64::from(stat.blocks_available()),
        u64::from(stat.files()),
        u64::from(stat.files_free()),
    );
    Some(Filesystem {
        capacity_bytes: blocks.saturating_mul(size),
        available_bytes: available.saturating_mul(size),
        used_bytes: blocks.saturating_sub(free).saturating_mul(size),
        inodes,
        inodes_free,
    })
}

/// Whether two directories share a disk; one that is not there yet shares it with its nearest parent.
pub fn same_filesystem(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| {
        path.ancestors()
            .find_map(|parent| std::fs::metadata(parent).ok())
            .map(|found| found.dev())
    };
    device(one) == device(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_as_upstream_counts_it() {
        let text = "MemTotal:       24684084 kB\nMemFree:        22339196 kB\nMemAvailable:   23774180 kB\n\
            Active(file):      80000 kB\nInactive(file):   774748 kB\nAnonPages:          12345 kB\nSwapTotal:             0 kB\n";
        let memory = memory(text);
        assert_eq!(memory.usage(), (24_684_084 - 22_339_196) * 1024);
        assert_eq!(
            memory.working_set(),
            (24_684_084 - 22_339_196 - 774_748) * 1024
        );
        assert_eq!(memory.available(), (22_339_196 + 774_748) * 1024);
        assert_eq!(memory.rss, 12_345 * 1024);
    }

    #[test]
    fn processor_time_without_idling() {
        let text = "cpu  100 20 30 4000 500 6 7 8 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\nbtime 1700000000\nprocesses 5\n";
        assert_eq!(
            processor(text),
            ((100 + 20 + 30 + 6 + 7) * TICK_NS, 1_700_000_000_000)
        );
        assert_eq!(processor(""), (0, 0));
        assert_eq!(tasks("0.00 0.01 0.05 2/345 6789\n"), 345);
        assert_eq!(tasks(""), 0);
    }
}
