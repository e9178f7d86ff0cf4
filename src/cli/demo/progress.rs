//! The demo's pods on their way, live.

use super::objects::LABEL;
use super::say;
use crate::cli::print::table::render;
use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use anyhow::Context;
use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

fn scope() -> Scope {
    Scope {
        namespace: Some("default".to_owned()),
        label_selector: Some(format!("{}={}", LABEL.0, LABEL.1)),
        field_selector: None,
    }
}

/// The demo's pods as they are now, by name; follows one event.
fn follow(pods: &mut BTreeMap<String, Pod>, event: Event<Pod>) {
    match event {
        Event::Restarted(all) => {
            *pods = all.into_iter().map(|pod| (name(&pod), pod)).collect();
        }
        Event::Applied(pod) => {
            pods.insert(name(&pod), pod);
        }
        Event::Deleted(pod) => {
            pods.remove(&name(&pod));
        }
    }
}

/// Shows changes until every server is ready and the task has succeeded.
pub async fn until_ready(client: &Client) -> Result<Vec<Pod>, anyhow::Error> {
    let mut events = informer::<Pod>(client, scope());
    let mut pods = BTreeMap::new();
    let mut board = Board::new();
    while let Some(event) = events.next().await {
        follow(&mut pods, event);
        for pod in pods.values() {
            board.show(&name(pod), &state(pod), is_settled(pod));
            if phase(pod) == "Failed" {
                anyhow::bail!("pod {} failed: {}", name(pod), state(pod));
            }
        }
        if !pods.is_empty() && pods.values().all(is_settled) {
            board.finish();
            return Ok(pods.into_values().collect());
        }
    }
    None.context("the watch of pods ended")
}

/// Returns once no pod of the demo is left.
pub async fn until_gone(client: &Client) {
    let mut events = informer::<Pod>(client, scope());
    let mut pods = BTreeMap::new();
    while let Some(event) = events.next().await {
        follow(&mut pods, event);
        if pods.is_empty() {
            return;
        }
    }
}

/// A pod's line each: moving on a terminal, one per change elsewhere.
struct Board {
    terminal: bool,
    all: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
    said: BTreeMap<String, String>,
}

impl Board {
    fn new() -> Board {
        Board {
            terminal: std::io::stdout().is_terminal() && std::io::stderr().is_terminal(),
            all: MultiProgress::new(),
            bars: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    fn show(&mut self, name: &str, state: &str, settled: bool) {
        if self.said.get(name).is_some_and(|before| before == state) {
            return;
        }
        self.said.insert(name.to_owned(), state.to_owned());
        if !self.terminal {
            say(&format!("  {name:<10} {state}"));
            return;
        }
        let bar = self.bars.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:10} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if settled {
            bar.finish_with_message(state.to_owned());
        } else {
            bar.set_message(state.to_owned());
        }
    }

    fn finish(&self) {
        for bar in self.bars.values() {
            bar.disable_steady_tick();
        }
    }
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

pub fn is_server(pod: &Pod) -> bool {
    label(pod, "app") == Some("hello")
}

fn container_statuses(pod: &Pod) -> &[ContainerStatus] {
    pod.status
        .as_ref()
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default()
}

fn is_settled(pod: &Pod) -> bool {
    if !is_server(pod) {
        return phase(pod) == "Succeeded";
    }
    let containers = container_statuses(pod);
    phase(pod) == "Running"
        && !containers.is_empty()
        && containers.iter().all(|container| container.ready)
}

/// The phase, or what the first container waits for.
fn state(pod: &Pod) -> String {
    let waiting = container_statuses(pod).iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        Some(match &waiting.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason,
        })
    });
    match (phase(pod), waiting) {
        ("Pending", None) if node(pod).is_some() => "scheduled".to_owned(),
        ("Pending", Some(reason)) => reason,
        ("Succeeded", _) => "Completed".to_owned(),
        (phase, _) => phase.to_owned(),
    }
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The pods as `get pods -o wide` would begin.
pub fn table(pods: &[Pod]) -> String {
    let header = ["NAME", "STATUS", "IP", "NODE"].map(str::to_owned).to_vec();
    let rows = pods.iter().map(|pod| {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        vec![
            name(pod),
            state(pod),
            address.unwrap_or_else(|| "<none>".to_owned()),
            node(pod).unwrap_or("<none>").to_owned(),
        ]
    });
    let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    render(&lines, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::demo::objects;
    use serde_json::json;

    fn pod(index: usize, status: serde_json::Value) -> Pod {
        let mut object = objects::all().remove(index);
        object["spec"]["nodeName"] = json!("demo");
        object["status"] = status;
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn pods_are_settled_when_they_do_what_they_are_for() {
        let container = |ready: bool, state: serde_json::Value| json!({"name": "hello", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state});
        let waiting = container(false, json!({"waiting": {"reason": "ContainerCreating"}}));
        for (index, status, settled, told) in [
            (0, json!({"phase": "Pending"}), false, "scheduled"),
            (
                0,
                json!({"phase": "Pending", "containerStatuses": [waiting]}),
                false,
                "ContainerCreating",
            ),
            (0, json!({"phase": "Running"}), false, "Running"),
            (
                0,
                json!({"phase": "Running", "containerStatuses": [container(true, json!({}))]}),
                true,
                "Running",
            ),
            (3, json!({"phase": "Running"}), false, "Running"),
            (3, json!({"phase": "Succeeded"}), true, "Completed"),
        ] {
            let pod = pod(index, status);
            assert_eq!((is_settled(&pod), state(&pod).as_str()), (settled, told));
        }
        let text = table(&[pod(0, json!({"phase": "Running", "podIP": "10.42.200.2"}))]);
        assert_eq!(
            text,
            "NAME      STATUS    IP            NODE\nhello-1   Running   10.42.200.2   demo\n"
        );
    }
}
