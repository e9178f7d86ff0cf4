//! The shim's loop: one poll over the listener, the clients, SIGCHLD, the logs and launches under way.

mod attaching;
mod exits;
mod launches;
mod removal;
mod tether;

use super::attach::Attached;
use super::clients::Client;
use super::container::Container;
use super::launch::Place;
use super::sys;
use crate::runtime::cgroups::Layout;
use crate::runtime::protocol::{FromShim, Request, Response, ShimConfig};
use crate::runtime::types::{ContainerState, RunId};
use launches::Launch;
use nix::sys::signalfd::SignalFd;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;

/// Node processes, execs and attached clients connected at once.
const CLIENTS_MAX: usize = 128;

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
    attached: Vec<Attached>,
    /// Clients whose execs die with them.
    tethered: Vec<u64>,
}

enum Ready {
    Listener,
    Signals,
    Client(u64),
    Output(RunId),
    Launch(RawFd),
    /// A client's pipe takes more.
    Taker(u64),
    /// A client's input.
    Giver(u64),
    /// A container takes more input.
    Input(RunId),
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
            attached: Vec::new(),
            tethered: Vec::new(),
        }
    }

    pub fn run(mut self) -> ExitCode {
        loop {
            let (interest, what) = self.interest();
            let Ok(ready) = sys::poll(&interest, self.patience_ms()) else {
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
                    Ready::Taker(client) => self.taker(client),
                    Ready::Giver(client) => self.giver(client),
                    Ready::Input(run) => self.feed(&run),
                }
            }
            self.let_go_overdue();
            self.forget_gone_clients();
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
        self.attached_interest(&mut set, &mut what);
        for container in &self.containers {
            // While a client has not taken the last piece, the container waits with the next.
            if self.is_held_up(&container.status.run) {
                continue;
            }
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
                Request::Attach { container, streams } => {
                    self.attach(number, message.id, &container, streams);
                }
                Request::Resize { columns, rows } => self.resize(number, columns, rows),
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
}

fn done(result: Result<(), String>) -> Response {
    result.map_or_else(Response::Failed, |()| Response::Done)
}
