//! Clients attached to containers, as the server's loop sees them.

use super::exits::hang_up;
use super::{Ready, Server};
use crate::runtime::protocol::{FromShim, Response};
use crate::runtime::shim::attach::{ATTACHED_MAX, Attached, PATIENCE};
use crate::runtime::shim::clients::{Client, STREAMS};
use crate::runtime::shim::sys;
use crate::runtime::types::{AttachSpec, RunId};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

impl Server {
    pub(super) fn attach(&mut self, client: u64, message: u64, name: &str, wanted: AttachSpec) {
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
        let Some(container) = running else {
            return self.reply(client, message, Response::NotRunning);
        };
        let refused = if self.attached.len() >= ATTACHED_MAX {
            Some(format!(
                "{ATTACHED_MAX} clients are attached to this pod already; detach one first"
            ))
        } else if descriptors.iter().any(|fd| sys::non_blocking(fd).is_err()) {
            Some("the streams to attach cannot be made non-blocking".to_owned())
        } else {
            None
        };
        if let Some(text) = refused {
            return self.reply(client, message, Response::Failed(text));
        }
        let Ok([input, stdout, stderr]): Result<[OwnedFd; STREAMS], _> = descriptors.try_into()
        else {
            let text = "attaching needs three streams".to_owned();
            return self.reply(client, message, Response::Failed(text));
        };
        let file = |fd: OwnedFd, wanted: bool| wanted.then(|| File::from(fd));
        // Closed at once where the container takes no input: its sender then hears that nobody reads.
        let takes_input = container.input.is_some() && !container.input_ending;
        let attached = Attached::new(
            client,
            container.status.run.clone(),
            file(input, wanted.stdin && takes_input),
            [file(stdout, wanted.stdout), file(stderr, wanted.stderr)],
        );
        self.attached.push(attached);
        self.reply(client, message, Response::Done);
    }

    pub(super) fn resize(&mut self, client: u64, columns: u16, rows: u16) {
        let Some(attached) = self.attached.iter().find(|a| a.client == client) else {
            return;
        };
        let container = self
            .containers
            .iter()
            .find(|c| c.status.run == attached.run);
        if let Some(terminal) = container.and_then(|c| c.terminal.as_ref())
            && let Err(error) = crate::runtime::terminal::resize(terminal, columns, rows)
        {
            tracing::debug!(%error, "terminal not resized");
        }
    }

    pub(super) fn attached_interest(&self, set: &mut Vec<(RawFd, i16)>, what: &mut Vec<Ready>) {
        for container in &self.containers {
            if let Some(input) = &container.input
                && !container.input_waiting.is_empty()
            {
                set.push((input.as_raw_fd(), libc::POLLOUT));
                what.push(Ready::Input(container.status.run.clone()));
            }
        }
        for attached in &self.attached {
            if let Some(fd) = attached.waits_for() {
                set.push((fd, libc::POLLOUT));
                what.push(Ready::Taker(attached.client));
            }
            let idle = self
                .containers
                .iter()
                .any(|c| c.status.run == attached.run && c.input_waiting.is_empty());
            if let Some(input) = &attached.input
                && idle
            {
                set.push((input.as_raw_fd(), libc::POLLIN));
                what.push(Ready::Giver(attached.client));
            }
        }
    }

    pub(super) fn is_held_up(&self, run: &RunId) -> bool {
        self.attached
            .iter()
            .any(|attached| attached.run == *run && attached.is_stalled())
    }

    /// How long the loop may sleep: for ever, unless a client's patience is running out.
    pub(super) fn patience_ms(&self) -> i32 {
        let first = self.attached.iter().filter_map(Attached::deadline).min();
        first.map_or(-1, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up: one look too early would be followed by many.
            i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1) + 1
        })
    }

    pub(super) fn taker(&mut self, client: u64) {
        let now = Instant::now();
        for attached in self.attached.iter_mut().filter(|a| a.client == client) {
            attached.flush(now);
        }
        self.dismiss();
    }

    /// Input from a client to its container.
    pub(super) fn giver(&mut self, client: u64) {
        let Some(attached) = self.attached.iter_mut().find(|a| a.client == client) else {
            return;
        };
        let run = attached.run.clone();
        let Some(container) = self.containers.iter_mut().find(|c| c.status.run == run) else {
            return attached.input = None;
        };
        if !container.input_waiting.is_empty() {
            return;
        }
        match attached.take_input() {
            None => {}
            Some(bytes) if bytes.is_empty() => {
                attached.input = None;
                // As containerd: with stdinOnce the container sees the end of its input and the client stays for what
                // it answers; else the client's end of input is its wish to leave.
                if container.stdin_once && container.terminal.is_none() {
                    container.input_ending = true;
                } else {
                    attached.ending = true;
                }
            }
            Some(bytes) => container.input_waiting = bytes,
        }
        self.feed(&run);
        self.dismiss();
    }

    /// Gives a container what waits for it; ends its input where that was the last.
    pub(super) fn feed(&mut self, run: &RunId) {
        let Some(container) = self.containers.iter_mut().find(|c| c.status.run == *run) else {
            return;
        };
        container.feed();
        if container.input.is_none() {
            for attached in self.attached.iter_mut().filter(|a| a.run == *run) {
                attached.input = None;
            }
        }
    }

    /// Tells those that are done.
    pub(super) fn dismiss(&mut self) {
        let done: Vec<u64> = self
            .attached
            .extract_if(.., |a| a.ending && !a.is_stalled())
            .map(|a| a.client)
            .collect();
        for client in done {
            self.send(client, &FromShim::Detached { reason: None });
        }
    }

    /// Lets go of clients that take nothing.
    pub(super) fn let_go_overdue(&mut self) {
        if self.attached.is_empty() {
            return;
        }
        let now = Instant::now();
        let overdue: Vec<u64> = self
            .attached
            .extract_if(.., |a| a.deadline().is_some_and(|end| end <= now))
            .map(|a| a.client)
            .collect();
        for client in overdue {
            let reason = format!(
                "the client took no output for {} s while the container waited for it; attach again, or read the log",
                PATIENCE.as_secs()
            );
            let reason = Some(reason);
            self.send(client, &FromShim::Detached { reason });
        }
    }

    /// What a client leaves behind when its connection ends.
    pub(super) fn forget_gone_clients(&mut self) {
        if self.clients.iter().all(|client| !client.gone) {
            return;
        }
        let gone: Vec<u64> = self
            .clients
            .extract_if(.., |client| client.gone)
            .map(|client| client.number)
            .collect();
        for (pid, _) in self.execs.iter().filter(|(_, c)| gone.contains(c)) {
            hang_up(*pid);
        }
        let left: Vec<Attached> = self
            .attached
            .extract_if(.., |a| gone.contains(&a.client))
            .collect();
        for mut attached in left {
            let Some(container) = self
                .containers
                .iter_mut()
                .find(|c| c.status.run == attached.run)
            else {
                continue;
            };
            // What it had sent before it left is still given.
            if let Some(bytes) = attached.take_input().filter(|b| !b.is_empty())
                && container.input_waiting.is_empty()
            {
                container.input_waiting = bytes;
            }
            let had_input = attached.input.is_some();
            container.input_ending |=
                had_input && container.stdin_once && container.terminal.is_none();
            let run = container.status.run.clone();
            self.feed(&run);
        }
    }
}
