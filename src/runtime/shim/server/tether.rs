//! Processes that die with the connection that asked for them: whoever started a probe's command and gave up on it, or
//! died, leaves nothing running.

use super::Server;
use super::launches::Purpose;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

impl Server {
    pub(super) fn tether(&mut self, client: u64) {
        if !self.tethered.contains(&client) {
            self.tethered.push(client);
        }
    }

    /// Kills what hangs on connections that are gone. A command still being started is looked at again when it runs.
    pub(super) fn cut_tethers(&mut self) {
        let gone: Vec<u64> = self
            .tethered
            .iter()
            .copied()
            .filter(|number| !self.clients.iter().any(|c| c.number == *number))
            .collect();
        for number in gone {
            for (pid, _) in self.execs.iter().filter(|(_, client)| *client == number) {
                let pid = Pid::from_raw(*pid);
                // An exec leads a session of its own, so its children are in its group unless they left it.
                let _ = killpg(pid, Signal::SIGKILL);
                let _ = kill(pid, Signal::SIGKILL);
            }
            let starting = self
                .launches
                .iter()
                .any(|l| l.client == number && matches!(l.purpose, Purpose::Exec { .. }));
            if !starting {
                self.tethered.retain(|other| *other != number);
            }
        }
    }
}
