//! What of /proc and /sys a container without privileges does not see or cannot write: kubelet's
//! `ConvertToRuntimeMaskedPaths`, which says the same as containerd and a little more.

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

pub const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The masked ones on a machine with so many processors: how hot each is tells what a neighbour computes.
pub fn masked(processors: usize) -> Vec<String> {
    let throttles =
        (0..processors).map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle"));
    MASKED
        .iter()
        .map(|path| (*path).to_owned())
        .chain(throttles)
        .collect()
}
