//! Which cgroup controllers can be used, on v1, hybrid and v2 machines.
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use std::collections::BTreeSet;

/// What the runtime limits by.
pub const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// From `/proc/self/mounts` and the v2 root's `cgroup.controllers`.
pub fn controllers(mounts: &str, v2: &str) -> BTreeSet<String> {
    let v1 = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        (fields.next()? == "cgroup").then(|| fields.next())?
    });
    v1.flat_map(|options| options.split(','))
        .chain(v2.split_whitespace())
        .filter(|name| !matches!(*name, "rw" | "ro" | "relatime"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_layouts() {
        let v1 = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                  cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\nbroken line\n";
        let found = controllers(v1, "");
        assert!(found.contains("memory") && found.contains("cpu") && !found.contains("pids"));
        assert!(controllers(v1, "pids\n").contains("pids"));
        let v2 = controllers("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "cpu io pids\n");
        assert!(v2.contains("cpu") && !v2.contains("memory"));
        assert!(controllers("", "").is_empty());
    }
}
