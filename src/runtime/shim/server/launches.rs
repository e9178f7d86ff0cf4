//! Starting containers and execs: children at work, and what they report.

use super::exits::hang_up;
use super::{Server, now_ms};
use crate::runtime::logs::LogWriter;
use crate::runtime::protocol::Response;
use crate::runtime::shim::clients::{Client, STREAMS};
use crate::runtime::shim::container::{Container, streams};
use crate::runtime::shim::launch::{self, Child, Outcome, Started};
use crate::runtime::spec::Pids;
use crate::runtime::types::{
    ContainerSpec, ContainerState, ContainerStatus, ExecSpec, Exit, RunId,
};
use nix::mount::{MntFlags, umount2};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Runs kept per pod until they are removed.
const RUNS_MAX: usize = 1024;
/// Kubernetes' code for a container that never ran (`StartError`).
const START_ERROR_CODE: i32 = 128;

#[derive(Debug)]
pub(super) enum Purpose {
    Start { run: RunId, message: u64 },
    Exec { message: u64 },
}

/// A child that is starting something for a client.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) client: u64,
    pub(super) purpose: Purpose,
    pub(super) pid: i32,
    pub(super) report: File,
    bytes: Vec<u8>,
    started_at_ms: i64,
}

impl Server {
    pub(super) fn start(&mut self, client: u64, message: u64, id: String, spec: ContainerSpec) {
        let run = RunId {
            container: spec.name.clone(),
            attempt: spec.attempt,
        };
        if self.containers.len() >= RUNS_MAX || self.containers.iter().any(|c| c.status.run == run)
        {
            let text = format!(
                "container {} run {} is here already",
                run.container, run.attempt
            );
            return self.reply(client, message, Response::Failed(text));
        }
        let cgroup = format!(
            "{}/{}/{id}",
            self.config.cgroup_root, self.config.spec.cgroup
        );
        let started_at_ms = now_ms();
        let mut container = Container {
            status: ContainerStatus {
                run: run.clone(),
                id,
                state: ContainerState::Running {
                    pid: 0,
                    started_at_ms,
                },
                user: None,
            },
            cgroup,
            merged: spec.root_fs.merged.clone(),
            pid: None,
            log: None,
            outputs: Vec::new(),
            input: None,
            input_waiting: Vec::new(),
            input_ending: false,
            terminal: None,
            stdin_once: spec.stdin_once,
        };
        let child = self.begin(&mut container, &spec);
        self.containers.push(container);
        match child {
            Ok(child) => {
                self.watch(
                    child,
                    client,
                    Purpose::Start { run, message },
                    started_at_ms,
                );
            }
            Err(text) => {
                self.failed(&run, started_at_ms, &text);
                self.reply(client, message, Response::Failed(text));
            }
        }
    }

    fn watch(&mut self, child: Child, client: u64, purpose: Purpose, started_at_ms: i64) {
        self.launches.push(Launch {
            client,
            purpose,
            pid: child.pid,
            report: File::from(child.report),
            bytes: Vec::new(),
            started_at_ms,
        });
    }

    fn begin(&self, container: &mut Container, spec: &ContainerSpec) -> Result<Child, String> {
        // On v1 the kernel makes parents with the leaf; on v2 controllers must be handed down first.
        let parent = format!("{}/{}", self.config.cgroup_root, self.config.spec.cgroup);
        self.layout
            .create(&parent)
            .and_then(|()| self.layout.create(&container.cgroup))
            .map_err(|e| format!("creating cgroup {}: {e}", container.cgroup))?;
        let log = LogWriter::open(&spec.log_path, spec.log_file_bytes_max, spec.log_files_max)
            .map_err(|e| format!("opening log {}: {e}", spec.log_path.display()))?;
        container.log = Some(log);
        let streams = streams(container, spec).map_err(|e| format!("making its streams: {e}"))?;
        let cgroup = format!("/{}", container.cgroup);
        let shim_pid = std::process::id() as i32;
        let mut place = self.place();
        if let Some(target) = &spec.processes_of {
            let pid = self
                .containers
                .iter()
                .rev()
                .find(|c| c.status.run.container == *target)
                .and_then(|c| c.pid)
                .ok_or_else(|| format!("target container {target} is not running"))?;
            if place.pids != Pids::Host {
                place.pids = Pids::Shared { with: pid };
            }
        }
        launch::in_child(|| {
            launch::container(
                &place,
                shim_pid,
                &container.status.id,
                &cgroup,
                spec,
                streams,
            )
        })
        .map_err(|e| format!("fork: {e}"))
    }

    pub(super) fn exec(&mut self, client: u64, message: u64, name: &str, spec: &ExecSpec) {
        let descriptors = self
            .clients
            .iter_mut()
            .find(|c| c.number == client)
            .map(Client::descriptors)
            .unwrap_or_default();
        let running = self
            .containers
            .iter()
            .rev()
            .find(|c| c.status.run.container == name && c.pid.is_some());
        let Some(id) = running.map(|c| c.status.id.clone()) else {
            return self.reply(client, message, Response::NotRunning);
        };
        let Ok(streams): Result<[OwnedFd; STREAMS], _> = descriptors.try_into() else {
            let text = "an exec needs three streams".to_owned();
            return self.reply(client, message, Response::Failed(text));
        };
        let place = self.place();
        match launch::in_child(|| launch::exec(&place, &id, spec, streams)) {
            Ok(child) => self.watch(child, client, Purpose::Exec { message }, now_ms()),
            Err(error) => self.reply(client, message, Response::Failed(format!("fork: {error}"))),
        }
    }

    pub(super) fn launched(&mut self, fd: RawFd) {
        let Some(at) = self
            .launches
            .iter()
            .position(|l| l.report.as_raw_fd() == fd)
        else {
            return;
        };
        let launch = &mut self.launches[at];
        let mut block = [0u8; 4096];
        match launch.report.read(&mut block) {
            Ok(count @ 1..) => return launch.bytes.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            _ => {}
        }
        let launch = self.launches.swap_remove(at);
        let outcome = postcard::from_bytes::<Outcome>(&launch.bytes).map_or_else(
            |_| Err("the launching process died".to_owned()),
            |outcome| outcome.0,
        );
        match (launch.purpose, outcome) {
            (Purpose::Start { run, message }, Ok(Started { pid, user })) => {
                let Some(container) = self.containers.iter_mut().find(|c| c.status.run == run)
                else {
                    return;
                };
                container.pid = Some(pid);
                container.status.user = user;
                container.status.state = ContainerState::Running {
                    pid,
                    started_at_ms: launch.started_at_ms,
                };
                let response = Response::Started(container.status.clone());
                self.reply(launch.client, message, response);
            }
            (Purpose::Start { run, message }, Err(text)) => {
                self.failed(&run, launch.started_at_ms, &text);
                self.reply(launch.client, message, Response::Failed(text));
            }
            (Purpose::Exec { message }, Ok(Started { pid, .. })) => {
                self.execs.push((pid, launch.client));
                self.reply(launch.client, message, Response::Done);
                // It left while its process was being started.
                if !self.clients.iter().any(|c| c.number == launch.client) {
                    hang_up(pid);
                }
            }
            (Purpose::Exec { message }, Err(text)) => {
                self.reply(launch.client, message, Response::Failed(text));
            }
        }
        self.claim();
    }

    /// A container that never ran is an exited one, with the reason.
    fn failed(&mut self, run: &RunId, started_at_ms: i64, text: &str) {
        if let Some(container) = self.containers.iter_mut().find(|c| c.status.run == *run) {
            container.close_streams();
            container.log = None;
            let _ = umount2(&container.merged, MntFlags::MNT_DETACH);
            container.status.state = ContainerState::Exited(Exit {
                code: START_ERROR_CODE,
                signal: None,
                oom_killed: false,
                started_at_ms,
                finished_at_ms: now_ms(),
                message: Some(text.to_owned()),
            });
        }
    }
}
