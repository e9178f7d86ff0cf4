//! What every Prometheus client says of its own process, from /proc/self (proc_pid_stat(5)).

use super::Kind::{Counter, Gauge};
use super::{Page, Seconds};

/// `stat` counts in USER_HZ.
const TICK_NS: u64 = 10_000_000;

/// Adds the `process_…` families.
pub fn process(page: &mut Page) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let system = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let booted = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|seconds| seconds.trim().parse::<u64>().ok())
        .unwrap_or(0);
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4096);
    let figures = parse(&stat);
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.family(
        "process_cpu_seconds_total",
        Counter,
        "Total user and system CPU time spent in seconds.",
    )
    .sample(&[], Seconds(figures.ticks.saturating_mul(TICK_NS)));
    page.family(
        "process_resident_memory_bytes",
        Gauge,
        "Resident memory size in bytes.",
    )
    .sample(&[], figures.resident_pages.saturating_mul(page_bytes));
    page.family(
        "process_virtual_memory_bytes",
        Gauge,
        "Virtual memory size in bytes.",
    )
    .sample(&[], figures.virtual_bytes);
    page.family(
        "process_open_fds",
        Gauge,
        "Number of open file descriptors.",
    )
    .sample(&[], files);
    page.family(
        "process_start_time_seconds",
        Gauge,
        "Start time of the process since unix epoch in seconds.",
    )
    .sample(&[], booted + figures.started_ticks / 100);
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    ticks: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// The name in brackets may hold anything; what is counted begins behind the last one.
fn parse(stat: &str) -> Figures {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Field 3 of the manual page is the first here.
    let number = |field: usize| {
        fields
            .get(field - 3)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    Figures {
        ticks: number(14).saturating_add(number(15)),
        started_ticks: number(22),
        virtual_bytes: number(23),
        resident_pages: number(24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat =
            "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 25 0 0 20 0 9 0 1234 999424 321 184467";
        assert_eq!(
            parse(stat),
            Figures {
                ticks: 75,
                started_ticks: 1234,
                virtual_bytes: 999_424,
                resident_pages: 321,
            }
        );
        assert_eq!(parse(""), Figures::default());
    }
}
