//! Ends of processes: reaped, matched with what they were, told.

use super::{Server, now_ms};
use crate::runtime::protocol::{FromShim, Response};
use crate::runtime::shim::container::drain;
use crate::runtime::types::{ContainerState, Exit, RunId};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Exits whose process nobody has claimed yet: a launch's report may come after its process's end.
const UNCLAIMED_MAX: usize = 64;
/// Reads of each stream after a container's end. A pipe may have been made larger (1 MiB at most for a user, pipe(7));
/// what a process that outlived its container writes on is not waited for.
const FINAL_ROUNDS_MAX: u32 = 128;

/// The client of an exec is gone: its process and what that started in its session's first group get what a closed
/// terminal gives, SIGHUP and SIGCONT. `nohup` and daemons live on, as they would on any machine.
pub(super) fn hang_up(pid: i32) {
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        if killpg(Pid::from_raw(pid), signal).is_err() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Server {
    pub(super) fn output(&mut self, run: &RunId) {
        if let Some(container) = self.containers.iter_mut().find(|c| c.status.run == *run) {
            drain(container, 1, &mut self.attached);
        }
    }

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
        drain(container, FINAL_ROUNDS_MAX, &mut self.attached);
        if let Some(mut log) = container.log.take() {
            log.finish();
        }
        container.close_streams();
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
        for attached in self.attached.iter_mut().filter(|a| a.run == run) {
            attached.ending = true;
        }
        self.dismiss();
        for client in &mut self.clients {
            client.send(&FromShim::ContainerExited {
                run: run.clone(),
                exit: exit.clone(),
            });
        }
    }

    pub(super) fn kill(&mut self, run: &RunId, signal: i32) -> Response {
        let Some(container) = self.containers.iter().find(|c| c.status.run == *run) else {
            return Response::NotRunning;
        };
        let Ok(signal) = nix::sys::signal::Signal::try_from(signal) else {
            return Response::Failed(format!("there is no signal {signal}"));
        };
        match container.pid.map(|pid| kill(Pid::from_raw(pid), signal)) {
            None | Some(Ok(()) | Err(nix::Error::ESRCH)) => Response::Done,
            Some(Err(error)) => Response::Failed(format!("sending {signal}: {error}")),
        }
    }
}
