//! The shim's loop: one poll over the listener, the clients, SIGCHLD, the logs and launches under way.

mod exits;
mod removal;
mod tether;

use super::clients::{Client, STREAMS};
use super::container::{Container, drain, streams};
use super::launch::{self, Child, Outcome, Place, Started};
use super::sys;
use crate::runtime::cgroups::Layout;
use crate::runtime::logs::LogWriter;
use crate::runtime::protocol::{FromShim, Request, Response, ShimConfig};
use crate::runtime::spec::Pids;
use crate::runtime::types::{
    ContainerSpec, ContainerState, ContainerStatus, ExecSpec, Exit, RunId,
};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::kill;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exits whose process nobody has claimed yet: a launch's report may come after its process's end.
const UNCLAIMED_MAX: usize = 64;
/// Node processes and execs connected at once.
const CLIENTS_MAX: usize = 128;
/// Runs kept per pod until they are removed.
const RUNS_MAX: usize = 1024;
/// Kubernetes' code for a container that never ran (`StartError`).
const START_ERROR_CODE: i32 = 128;

#[derive(Debug)]
enum Purpose {
    Start { run: RunId, message: u64 },
    Exec { message: u64 },
}

/// A child that is starting something for a client.
#[derive(Debug)]
struct Launch {
    client: u64,
    purpose: Purpose,
    pid: i32,
    report: File,
    bytes: Vec<u8>,
    started_at_ms: i64,
}

#[derive(Debug)]
pub struct Server {
    config: ShimConfig,
    directory: PathBuf,
    layout: Layout,
    listener: UnixListener,
    signals: SignalFd,
    /// The mount namespace the shim was started in.
    host_mounts: OwnedFd,
    clients: Vec<Client>,
    next_client: u64,
    containers: Vec<Container>,
    launches: Vec<Launch>,
    /// Process and the client that waits for it.
    execs: Vec<(i32, u64)>,
    unclaimed: VecDeque<(i32, i32, Option<i32>)>,
    /// First process of the pod's own process namespace, where its containers share one.
    pod_init: Option<i32>,
    /// Clients whose execs die with them.
    tethered: Vec<u64>,
}

enum Ready {
    Listener,
    Signals,
    Client(u64),
    Output(RunId),
    Launch(RawFd),
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Server {
    pub fn new(
        config: ShimConfig,
        directory: PathBuf,
        layout: Layout,
        listener: UnixListener,
        signals: SignalFd,
        pod_init: Option<i32>,
        host_mounts: OwnedFd,
    ) -> Server {
        Server {
            config,
            directory,
            layout,
            listener,
            signals,
            host_mounts,
            clients: Vec::new(),
            next_client: 0,
            containers: Vec::new(),
            launches: Vec::new(),
            execs: Vec::new(),
            unclaimed: VecDeque::new(),
            pod_init,
            tethered: Vec::new(),
        }
    }

    pub fn run(mut self) -> ExitCode {
        loop {
            let (interest, what) = self.interest();
            let Ok(ready) = sys::poll(&interest, -1) else {
                return ExitCode::FAILURE;
            };
            for (what, _) in what.into_iter().zip(ready).filter(|(_, ready)| *ready) {
                match what {
                    Ready::Listener => self.accept(),
                    Ready::Signals => {
                        while let Ok(Some(_)) = self.signals.read_signal() {}
                        self.reap();
                    }
                    Ready::Client(number) => {
                        if self.client(number) {
                            return ExitCode::SUCCESS;
                        }
                    }
                    Ready::Output(run) => self.output(&run),
                    Ready::Launch(fd) => self.launched(fd),
                }
            }
            self.clients.retain(|client| !client.gone);
            self.cut_tethers();
        }
    }

    fn interest(&self) -> (Vec<(RawFd, i16)>, Vec<Ready>) {
        let mut set = vec![
            (self.listener.as_raw_fd(), libc::POLLIN),
            (self.signals.as_raw_fd(), libc::POLLIN),
        ];
        let mut what = vec![Ready::Listener, Ready::Signals];
        for client in &self.clients {
            set.push((client.stream.as_raw_fd(), client.interest()));
            what.push(Ready::Client(client.number));
        }
        for launch in &self.launches {
            set.push((launch.report.as_raw_fd(), libc::POLLIN));
            what.push(Ready::Launch(launch.report.as_raw_fd()));
        }
        for container in &self.containers {
            for (_, file) in &container.outputs {
                set.push((file.as_raw_fd(), libc::POLLIN));
                what.push(Ready::Output(container.status.run.clone()));
            }
        }
        (set, what)
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < CLIENTS_MAX {
                self.next_client += 1;
                self.clients.extend(Client::new(self.next_client, stream));
            }
        }
    }

    /// True when the shim is to end.
    fn client(&mut self, number: u64) -> bool {
        let Some(client) = self.clients.iter_mut().find(|c| c.number == number) else {
            return false;
        };
        client.flush();
        for message in client.receive() {
            match message.request {
                Request::Shutdown => {
                    let result = self.shutdown();
                    let ended = result.is_ok();
                    self.reply(number, message.id, done(result));
                    return ended;
                }
                Request::Start { id, spec } => self.start(number, message.id, id, *spec),
                Request::Exec { container, spec } => {
                    self.exec(number, message.id, &container, &spec);
                }
                Request::Tether => self.tether(number),
                Request::State => {
                    let response = Response::State {
                        spec: self.config.spec.clone(),
                        pid: std::process::id() as i32,
                        containers: self
                            .containers
                            .iter()
                            .map(|c| c.status.clone())
                            .filter(|status| {
                                !matches!(status.state, ContainerState::Running { pid: 0, .. })
                            })
                            .collect(),
                    };
                    self.reply(number, message.id, response);
                }
                Request::Kill { run, signal } => {
                    let response = self.kill(&run, signal);
                    self.reply(number, message.id, response);
                }
                Request::Remove { run } => {
                    let result = self.remove(&run);
                    self.reply(number, message.id, done(result));
                }
            }
        }
        false
    }

    fn reply(&mut self, number: u64, id: u64, response: Response) {
        self.send(number, &FromShim::Reply { id, response });
    }

    fn send(&mut self, number: u64, message: &FromShim) {
        if let Some(client) = self.clients.iter_mut().find(|c| c.number == number) {
            client.send(message);
        }
    }

    fn place(&self) -> Place<'_> {
        let unified = self.layout == Layout::Unified;
        let mounts = &self.host_mounts;
        Place::new(
            &self.directory,
            &self.config.spec,
            unified,
            self.pod_init,
            mounts,
        )
    }

    fn start(&mut self, client: u64, message: u64, id: String, spec: ContainerSpec) {
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

    fn exec(&mut self, client: u64, message: u64, name: &str, spec: &ExecSpec) {
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

    fn launched(&mut self, fd: RawFd) {
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
            container.outputs.clear();
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

    fn output(&mut self, run: &RunId) {
        if let Some(container) = self.containers.iter_mut().find(|c| c.status.run == *run) {
            drain(container, 1);
        }
    }

    fn kill(&mut self, run: &RunId, signal: i32) -> Response {
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

fn done(result: Result<(), String>) -> Response {
    result.map_or_else(Response::Failed, |()| Response::Done)
}
