//! What a process costs, read from /proc, and how figures are printed.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

/// The sum of all lines that begin so, in KiB where the file says kB.
fn field(path: &str, field: &str) -> u64 {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with(field))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

pub fn rss_bytes(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:") * 1024
}

/// Of the RSS, what no file backs: the kernel cannot drop it.
pub fn anonymous_bytes(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "RssAnon:") * 1024
}

/// The highest RSS since the process began, or since [`forget_peak`].
pub fn peak_bytes(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmHWM:") * 1024
}

/// proc_pid_clear_refs(5): 5 resets the peak.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

pub fn private_bytes(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Private_") * 1024
}

pub fn written_bytes(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

/// User and system time in hundredths of a second.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum()
}

pub fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
}

pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

pub fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Rows of what was measured beside the budget.
#[derive(Default)]
pub struct Rows(Vec<(String, String, &'static str)>);

impl Rows {
    pub fn push(
        &mut self,
        what: impl Into<String>,
        measured: impl Into<String>,
        budget: &'static str,
    ) {
        let row = (what.into(), measured.into(), budget);
        // Seen at once: a run takes minutes.
        eprintln!("{}: {}", row.0, row.1);
        self.0.push(row);
    }

    pub fn print(&self) {
        println!("| what | measured | budget |\n|---|---|---|");
        for (what, measured, budget) in &self.0 {
            println!("| {what} | {measured} | {budget} |");
        }
    }
}
