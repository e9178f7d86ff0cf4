//! The containers of a pod with their specification and status side by side.

use super::facts::Facts;
use crate::object::access::{integer, list, present, text, truth};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Init,
    /// An init container that goes on running.
    Sidecar,
    Main,
    Debug,
}

#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub role: Role,
    pub name: &'a str,
    pub spec: &'a Value,
    pub status: &'a Value,
}

/// Init containers in their order, then the others.
pub fn parts(pod: &Value) -> Vec<Part<'_>> {
    [
        (
            Role::Init,
            "/spec/initContainers",
            "/status/initContainerStatuses",
        ),
        (Role::Main, "/spec/containers", "/status/containerStatuses"),
        (
            Role::Debug,
            "/spec/ephemeralContainers",
            "/status/ephemeralContainerStatuses",
        ),
    ]
    .into_iter()
    .flat_map(|(role, specs, statuses)| {
        list(pod, specs).iter().map(move |spec| {
            let name = text(spec, "/name");
            let sidecar = role == Role::Init && text(spec, "/restartPolicy") == "Always";
            Part {
                role: if sidecar { Role::Sidecar } else { role },
                name,
                spec,
                status: list(pod, statuses)
                    .iter()
                    .find(|status| text(status, "/name") == name)
                    .unwrap_or(&Value::Null),
            }
        })
    })
    .collect()
}

impl<'a> Part<'a> {
    /// As sentences name it.
    pub fn subject(&self) -> String {
        let kind = match self.role {
            Role::Init => "init container",
            Role::Sidecar => "sidecar",
            Role::Main => "container",
            Role::Debug => "debug container",
        };
        format!("{kind} {:?}", self.name)
    }

    pub fn image(&self) -> &'a str {
        text(self.spec, "/image")
    }

    pub fn waiting(&self) -> Option<(&'a str, &'a str)> {
        present(self.status, "/state/waiting").then(|| {
            (
                text(self.status, "/state/waiting/reason"),
                text(self.status, "/state/waiting/message"),
            )
        })
    }

    pub fn is_running(&self) -> bool {
        present(self.status, "/state/running")
    }

    /// How the current run ended, where it has.
    pub fn ended(&self) -> Option<&'a Value> {
        self.status
            .pointer("/state/terminated")
            .filter(|state| !state.is_null())
    }

    /// How the last run that is over ended.
    pub fn last_end(&self) -> Option<&'a Value> {
        self.ended().or_else(|| {
            self.status
                .pointer("/lastState/terminated")
                .filter(|state| !state.is_null())
        })
    }

    pub fn is_ready(&self) -> bool {
        truth(self.status, "/ready")
    }

    pub fn restarts(&self) -> i64 {
        integer(self.status, "/restartCount")
    }

    /// `-c name` where the pod has several containers.
    fn choice(&self, facts: &Facts) -> String {
        if parts(&facts.pod).len() > 1 {
            format!(" -c {}", self.name)
        } else {
            String::new()
        }
    }

    /// The command that shows what this container printed; `previous`: in the run before.
    pub fn logs(&self, facts: &Facts, previous: bool) -> String {
        let flag = if previous { " --previous" } else { "" };
        facts.command(&format!(
            "logs {}{}{flag}",
            facts.name(),
            self.choice(facts)
        ))
    }

    pub fn exec(&self, facts: &Facts, command: &str) -> String {
        facts.command(&format!(
            "exec {}{} -- {command}",
            facts.name(),
            self.choice(facts)
        ))
    }
}
