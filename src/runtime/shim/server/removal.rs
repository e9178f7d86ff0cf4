//! Taking away: one run, or the whole pod.

use super::Server;
use crate::runtime::types::{ContainerState, RunId};
use nix::mount::{MntFlags, umount2};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;

impl Server {
    pub(super) fn remove(&mut self, run: &RunId) -> Result<(), String> {
        let Some(at) = self.containers.iter().position(|c| c.status.run == *run) else {
            return Ok(());
        };
        if matches!(
            self.containers[at].status.state,
            ContainerState::Running { .. }
        ) {
            return Err(format!(
                "container {} still runs; kill it first",
                run.container
            ));
        }
        let container = &self.containers[at];
        let cgroup = container.cgroup.clone();
        let _ = umount2(&container.merged, MntFlags::MNT_DETACH);
        for kind in ["containers", "bundles"] {
            let _ = fs::remove_dir_all(self.directory.join(kind).join(&container.status.id));
        }
        self.layout
            .kill_all(&cgroup, &mut || {
                while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                    let (pid, code, signal) = match status {
                        WaitStatus::Exited(pid, code) => (pid, code, None),
                        WaitStatus::Signaled(pid, s, _) => (pid, 128 + s as i32, Some(s as i32)),
                        WaitStatus::StillAlive => break,
                        _ => continue,
                    };
                    self.unclaimed.push_back((pid.as_raw(), code, signal));
                }
            })
            .and_then(|()| self.layout.remove(&cgroup))
            .map_err(|e| format!("removing cgroup {cgroup}: {e}"))?;
        self.containers.remove(at);
        self.claim();
        Ok(())
    }

    /// Ends everything in the pod and takes away what it left, the shim's own cgroup last.
    pub(super) fn shutdown(&mut self) -> Result<(), String> {
        let pod = format!("{}/{}", self.config.cgroup_root, self.config.spec.cgroup);
        self.layout
            .kill_all(&pod, &mut || {
                while matches!(
                    waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)),
                    Ok(status) if status != WaitStatus::StillAlive
                ) {}
            })
            .and_then(|()| self.layout.remove(&pod))
            .map_err(|e| format!("removing cgroup {pod}: {e}"))?;
        for container in &self.containers {
            let _ = umount2(&container.merged, MntFlags::MNT_DETACH);
        }
        let _ = umount2(&self.directory.join("shm"), MntFlags::MNT_DETACH);
        let _ = self.layout.join("");
        self.layout.remove_empty_parents(&pod);
        self.layout.remove_empty_parents(&format!(
            "{}/{}",
            self.config.cgroup_root,
            crate::runtime::shim::CGROUP
        ));
        fs::remove_dir_all(&self.directory)
            .map_err(|e| format!("removing {}: {e}", self.directory.display()))
    }
}
