//! Processes that have ended, and what they belong to.

use super::{Server, UNCLAIMED_MAX, now_ms};
use crate::runtime::protocol::FromShim;
use crate::runtime::shim::container::drain;
use crate::runtime::types::{ContainerState, Exit};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

impl Server {
    pub(super) fn reap(&mut self) {
        loop {
            let (pid, code, signal) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code, None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, 128 + signal as i32, Some(signal as i32))
                }
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => continue,
            };
            if self.unclaimed.len() >= UNCLAIMED_MAX {
                self.unclaimed.pop_front();
            }
            self.unclaimed.push_back((pid.as_raw(), code, signal));
        }
        self.claim();
    }

    /// Matches exits with what they belong to.
    pub(super) fn claim(&mut self) {
        for (pid, code, signal) in std::mem::take(&mut self.unclaimed) {
            if let Some(at) = self.execs.iter().position(|(exec, _)| *exec == pid) {
                let (_, client) = self.execs.swap_remove(at);
                self.send(client, &FromShim::ExecExited { code });
            } else if let Some(at) = self.containers.iter().position(|c| c.pid == Some(pid)) {
                self.exited(at, code, signal);
            } else if !self.launches.is_empty() {
                self.unclaimed.push_back((pid, code, signal));
            }
        }
    }

    fn exited(&mut self, at: usize, code: i32, signal: Option<i32>) {
        let container = &mut self.containers[at];
        if self.pod_init.is_some() || self.config.spec.host_pid {
            // With a namespace of its own the kernel does this; as containerd for all others.
            self.layout.signal_all(&container.cgroup);
        }
        drain(container, u32::MAX);
        if let Some(mut log) = container.log.take() {
            log.finish();
        }
        container.outputs.clear();
        container.pid = None;
        let started_at_ms = match &container.status.state {
            ContainerState::Running { started_at_ms, .. } => *started_at_ms,
            ContainerState::Exited(exit) => exit.started_at_ms,
        };
        let exit = Exit {
            code,
            signal,
            oom_killed: self.layout.oom_kills(&container.cgroup) > 0,
            started_at_ms,
            finished_at_ms: now_ms(),
            message: None,
        };
        container.status.state = ContainerState::Exited(exit.clone());
        let run = container.status.run.clone();
        for client in &mut self.clients {
            client.send(&FromShim::ContainerExited {
                run: run.clone(),
                exit: exit.clone(),
            });
        }
    }
}
