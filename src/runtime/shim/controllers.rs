//! What a cgroup v2 offers a container: <https://docs.kernel.org/admin-guide/cgroup-v2.html>, "Controllers".

use crate::runtime::types::Resources;
use std::fs;
use std::path::PathBuf;

/// What a container's own cgroup has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controllers {
    pub cpu: bool,
    pub memory: bool,
    pub pids: bool,
    /// The kernel accounts for swap.
    pub swap: bool,
}

impl Controllers {
    /// Of `cgroup`, a path from the hierarchy's root with a leading `/`.
    pub fn of(cgroup: &str) -> Controllers {
        let directory = PathBuf::from(format!("/sys/fs/cgroup{cgroup}"));
        let listed = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
        Controllers::parse(&listed, directory.join("memory.swap.max").exists())
    }

    fn parse(listed: &str, swap: bool) -> Controllers {
        let has = |name: &str| listed.split_whitespace().any(|c| c == name);
        Controllers {
            cpu: has("cpu"),
            memory: has("memory"),
            pids: has("pids"),
            swap,
        }
    }

    /// An error names the controller that a limit needs and that is not there.
    pub fn suffice(&self, resources: &Resources) -> Result<(), String> {
        let missing = |what: &str, controller: &str, hint: &str| {
            Err(format!(
                "a {what} limit needs the kernel's {controller} controller, which is not enabled on this node{hint}; \
                 `coracle doctor` says how"
            ))
        };
        if resources.memory_limit_bytes.is_some() && !self.memory {
            // Raspberry Pi's firmware turns it off.
            let hint = " (kernel command line: cgroup_enable=memory)";
            return missing("memory", "memory", hint);
        }
        if resources.cpu_quota_us.is_some() && !self.cpu {
            return missing("CPU", "cpu", "");
        }
        if resources.pids_max.is_some() && !self.pids {
            return missing("process", "pids", "");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_limit_without_its_controller_is_refused() {
        let pi = Controllers::parse("cpuset cpu io pids", false);
        assert!(pi.suffice(&Resources::default()).is_ok());
        let wanted = Resources {
            memory_limit_bytes: Some(1),
            ..Resources::default()
        };
        let text = pi.suffice(&wanted).unwrap_err();
        assert!(text.contains("cgroup_enable=memory"), "{text}");
        let all = Controllers::parse("cpu memory pids\n", true);
        assert!(all.suffice(&wanted).is_ok());
        let wanted = Resources {
            cpu_quota_us: Some(1),
            ..Resources::default()
        };
        assert!(Controllers::default().suffice(&wanted).is_err());
    }
}
