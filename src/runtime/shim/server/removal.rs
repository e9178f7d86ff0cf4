//! Taking away: one run, or the whole pod.

use super::Server;
use super::launches::Purpose;
use crate::runtime::protocol::Response;
use crate::runtime::types::{ContainerState, RunId};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// Looks at a killed process group; with the pause, 10 s in all.
const ROUNDS_MAX: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(5);

fn reap_all() {
    while matches!(
        waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)),
        Ok(status) if status != WaitStatus::StillAlive
    ) {}
}

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

    /// Ends what is being started. Until it enters the container's cgroup it is in the shims' one, where nobody
    /// looks for the pod's processes: left alone it would make the pod's cgroup again after its removal.
    fn abandon_launches(&mut self) -> Result<(), String> {
        for launch in std::mem::take(&mut self.launches) {
            let group = Pid::from_raw(launch.pid);
            let mut rounds = 0;
            // Gone when nobody of the group is left, dead ones that we have not reaped included.
            while killpg(group, Signal::SIGKILL).is_ok() {
                reap_all();
                rounds += 1;
                if rounds > ROUNDS_MAX {
                    return Err(format!(
                        "process group {group}, which starts a container, survives SIGKILL; look for state D"
                    ));
                }
                std::thread::sleep(PAUSE);
            }
            let (Purpose::Start { message, .. } | Purpose::Exec { message }) = launch.purpose;
            let text = "the pod is being removed".to_owned();
            self.reply(launch.client, message, Response::Failed(text));
        }
        Ok(())
    }

    /// Ends everything in the pod and takes away what it left, the shim's own cgroup last.
    pub(super) fn shutdown(&mut self) -> Result<(), String> {
        let pod = format!("{}/{}", self.config.cgroup_root, self.config.spec.cgroup);
        self.abandon_launches()?;
        self.layout
            .kill_all(&pod, &mut reap_all)
            .and_then(|()| self.layout.remove(&pod))
            .map_err(|e| format!("removing cgroup {pod}: {e}"))?;
        for container in &self.containers {
            let _ = umount2(&container.merged, MntFlags::MNT_DETACH);
        }
        if let Some(init) = self.pod_init.take() {
            let _ = nix::sys::signal::kill(Pid::from_raw(init), Signal::SIGKILL);
        }
        crate::runtime::shim::namespaces::unmount_below(&self.directory)?;
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
