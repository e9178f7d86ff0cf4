//! A rolling update that no client notices.

use super::objects::{self, DEPLOYMENT, GREETINGS, SERVERS};
use super::pods::{self, Pods};
use super::progress::Board;
use super::traffic::{self, CLIENTS, Counts};
use super::{Server, say};
use k8s_openapi::api::core::v1::Pod;
use std::cell::RefCell;
use std::time::Duration;

/// Between two looks at the number of requests.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

/// # Errors
/// The update does not come to its end, or a request failed meanwhile.
pub async fn show(server: &Server) -> Result<(), anyhow::Error> {
    say(&format!(
        "\nA rolling update to another greeting, while {CLIENTS} clients keep asking for the page\nwherever the EndpointSlices of service/{DEPLOYMENT} say that it is ready:"
    ));
    let counts = RefCell::new(Counts::default());
    let work = async {
        server.apply(&objects::deployment(GREETINGS[1])).await?;
        until_rolled(server, &counts).await
    };
    traffic::during(&server.session.client, DEPLOYMENT, &counts, work).await?;
    let counts = counts.into_inner();
    let line = counts.text();
    if let Some(first) = counts.first_failure {
        anyhow::bail!("{line}; the first: {first}");
    }
    let [old, new] = counts.answered;
    anyhow::ensure!(
        old > 0 && new > 0,
        "{line}, but one of the two revisions answered none"
    );
    let [before, after] = GREETINGS;
    say(&format!("{line} ({old} × {before}, {new} × {after})."));
    Ok(())
}

/// Until all pods are new, and the old ones have gone in peace.
async fn until_rolled(server: &Server, counts: &RefCell<Counts>) -> Result<(), anyhow::Error> {
    let board = RefCell::new(Board::new());
    let rolled = pods::until(
        &server.session.client,
        "the Deployment was not updated",
        |pods| {
            let census = Census::of(pods);
            let mut board = board.borrow_mut();
            board.show("pods", &census.text(), census.is_rolled());
            Ok(census.is_rolled().then_some(()))
        },
    );
    let counting = async {
        loop {
            board.borrow_mut().count(&counts.borrow().text());
            tokio::time::sleep(COUNT_INTERVAL).await;
        }
    };
    tokio::select! {
        biased;
        done = rolled => done,
        () = counting => Ok(()),
    }
}

/// The Deployment's pods by greeting: ready ones, others that are to stay, ending ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Census([Group; 2]);

#[derive(Debug, Default, PartialEq, Eq)]
struct Group {
    ready: usize,
    coming: usize,
    ending: usize,
}

impl Census {
    fn of(pods: &Pods) -> Census {
        let mut census = Census::default();
        for pod in pods.values().filter(|pod| pods::is_of(pod, DEPLOYMENT)) {
            let group = &mut census.0[usize::from(greets_with(pod, GREETINGS[1]))];
            if pod.metadata.deletion_timestamp.is_some() {
                group.ending += 1;
            } else if pods::is_ready(pod) {
                group.ready += 1;
            } else {
                group.coming += 1;
            }
        }
        census
    }

    fn is_rolled(&self) -> bool {
        let [old, new] = &self.0;
        *old == Group::default() && new.ready == SERVERS[0].1
    }

    fn text(&self) -> String {
        let [old, new] = &self.0;
        let group = |name: &str, group: &Group| {
            let more = [(group.coming, "starting"), (group.ending, "ending")];
            let more = more.iter().filter(|(count, _)| *count > 0);
            let more: String = more
                .map(|(count, does)| format!(" + {count} {does}"))
                .collect();
            format!("{name} {} ready{more}", group.ready)
        };
        format!("{}, {}", group("old:", old), group("new:", new))
    }
}

fn greets_with(pod: &Pod, greeting: &str) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    variables
        .any(|variable| variable.name == "GREETING" && variable.value.as_deref() == Some(greeting))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pods(all: &[(usize, bool, bool)]) -> Pods {
        let pod = |(greeting, ready, ending): &(usize, bool, bool)| {
            let mut object = objects::deployment(GREETINGS[*greeting])["spec"]["template"].clone();
            object["status"] = json!({
                "phase": "Running",
                "containerStatuses": [{"name": "hello", "ready": ready, "restartCount": 0, "image": "", "imageID": ""}],
            });
            if *ending {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            serde_json::from_value::<Pod>(object).unwrap()
        };
        let named = |(number, it)| (format!("hello-{number}"), pod(it));
        all.iter().enumerate().map(named).collect()
    }

    #[test]
    fn an_update_is_over_when_all_pods_are_new_and_no_old_one_is_left() {
        let new = (1, true, false);
        for (all, rolled, text) in [
            (
                vec![(0, true, false), (0, true, true), (1, false, false)],
                false,
                "old: 1 ready + 1 ending, new: 0 ready + 1 starting",
            ),
            (
                vec![new, new, new, (0, true, true)],
                false,
                "old: 0 ready + 1 ending, new: 3 ready",
            ),
            (vec![new, new, new], true, "old: 0 ready, new: 3 ready"),
        ] {
            let census = Census::of(&pods(&all));
            assert_eq!((census.is_rolled(), census.text().as_str()), (rolled, text));
        }
    }
}
