//! Clients that keep asking for a Service's page while something else happens.
//!
//! They do what a load balancer outside of the cluster does: follow the Service's EndpointSlices, and send each request
//! to the next endpoint that is ready. Nothing is asked twice: an answer that does not come is a failure.
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions>

use super::objects::{GREETINGS, NAMESPACE};
use super::page;
use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use anyhow::Context;
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// As many as one of the web servers serves at the same time.
pub const CLIENTS: usize = 4;
/// Between an answer and the client's next request: a small board has other things to do, too.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Counts {
    /// By greeting.
    pub answered: [u64; 2],
    pub failed: u64,
    /// Where and why, of the first one.
    pub first_failure: Option<String>,
}

impl Counts {
    pub fn text(&self) -> String {
        let requests = self.answered.iter().sum::<u64>() + self.failed;
        format!(
            "{requests} requests during the update, {} failed",
            self.failed
        )
    }

    fn record(&mut self, address: SocketAddr, answer: Result<String, anyhow::Error>) {
        let page = answer.and_then(|page| {
            let greeting = GREETINGS.iter().position(|word| page.starts_with(word));
            greeting.context("the page is another one")
        });
        match page {
            Ok(greeting) => self.answered[greeting] += 1,
            Err(cause) => {
                self.failed += 1;
                self.first_failure
                    .get_or_insert_with(|| format!("http://{address}/: {cause:#}"));
            }
        }
    }
}

/// Does `work` while the clients ask; `counts` is theirs meanwhile.
pub async fn during<T>(
    client: &Client,
    service: &str,
    counts: &RefCell<Counts>,
    work: impl Future<Output = Result<T, anyhow::Error>>,
) -> Result<T, anyhow::Error> {
    let (sender, mut endpoints) = watch::channel(Vec::new());
    let (turn, over) = (Cell::new(0), Cell::new(false));
    let asked = async {
        endpoints.wait_for(|all| !all.is_empty()).await?;
        let work = async {
            let done = work.await;
            over.set(true);
            done
        };
        let clients = (0..CLIENTS).map(|_| ask(endpoints.clone(), &turn, &over, counts));
        let (done, _) = tokio::join!(work, join_all(clients));
        done
    };
    // In this order: what is known of the endpoints comes before the next request.
    tokio::select! {
        biased;
        () = follow(client, service, &sender) => anyhow::bail!("the watch of EndpointSlices ended"),
        done = asked => done,
    }
}

async fn ask(
    endpoints: watch::Receiver<Vec<SocketAddr>>,
    turn: &Cell<usize>,
    over: &Cell<bool>,
    counts: &RefCell<Counts>,
) {
    while !over.get() {
        turn.set(turn.get().wrapping_add(1));
        let next = {
            let all = endpoints.borrow();
            all.get(turn.get() % all.len().max(1)).copied()
        };
        if let Some(address) = next {
            let answer = page::fetch(address, "/").await;
            counts.borrow_mut().record(address, answer);
        } else {
            let mut counts = counts.borrow_mut();
            counts.failed += 1;
            counts
                .first_failure
                .get_or_insert_with(|| "no endpoint was ready".to_owned());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(client: &Client, service: &str, sender: &watch::Sender<Vec<SocketAddr>>) {
    let scope = Scope {
        namespace: Some(NAMESPACE.to_owned()),
        label_selector: Some(format!("kubernetes.io/service-name={service}")),
        field_selector: None,
    };
    let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    let mut events = informer::<EndpointSlice>(client, scope);
    let mut slices = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Restarted(all) => {
                slices = all.into_iter().map(|slice| (name(&slice), slice)).collect();
            }
            Event::Applied(slice) => {
                slices.insert(name(&slice), slice);
            }
            Event::Deleted(slice) => {
                slices.remove(&name(&slice));
            }
        }
        sender.send_replace(addresses(slices.values()));
    }
}

/// Where to send requests: to endpoints that are ready; where none is, to those that still serve while they end.
fn addresses<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> Vec<SocketAddr> {
    let (mut ready, mut serving) = (Vec::new(), Vec::new());
    for slice in slices {
        let mut ports = slice.ports.iter().flatten();
        let Some(port) = ports.find_map(|port| port.port) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(ip) = endpoint.addresses.first().and_then(|ip| ip.parse().ok()) else {
                continue;
            };
            let address = SocketAddr::new(ip, u16::try_from(port).unwrap_or_default());
            let conditions = endpoint.conditions.as_ref();
            // A condition that is not told counts as true.
            if conditions.is_none_or(|told| told.ready != Some(false)) {
                ready.push(address);
            } else if conditions.is_none_or(|told| told.serving != Some(false)) {
                serving.push(address);
            }
        }
    }
    if ready.is_empty() { serving } else { ready }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn chosen(endpoints: &[(u8, bool, bool)]) -> Vec<u8> {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(last, ready, serving)| {
                json!({
                    "addresses": [format!("10.42.200.{last}")],
                    "conditions": {"ready": ready, "serving": serving},
                })
            })
            .collect();
        let slice: EndpointSlice = serde_json::from_value(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}],
        }))
        .unwrap();
        let all = addresses(std::iter::once(&slice));
        all.iter()
            .map(|address| {
                assert_eq!(address.port(), 8080);
                let text = address.ip().to_string();
                text.rsplit('.').next().unwrap().parse().unwrap()
            })
            .collect()
    }

    #[test]
    fn requests_go_to_ready_endpoints_and_else_to_serving_ones() {
        for (endpoints, expected) in [
            (vec![], vec![]),
            (vec![(1, true, true), (2, false, true)], vec![1]),
            (vec![(1, false, true), (2, false, false)], vec![1]),
            (vec![(1, false, false)], vec![]),
        ] {
            assert_eq!(chosen(&endpoints), expected, "{endpoints:?}");
        }
    }

    #[test]
    fn answers_are_counted_by_greeting() {
        let address: SocketAddr = "10.42.200.2:8080".parse().unwrap();
        let mut counts = Counts::default();
        counts.record(address, Ok("Hello from a".to_owned()));
        counts.record(address, Ok("Ahoy from b".to_owned()));
        counts.record(address, Err(anyhow::anyhow!("refused")));
        counts.record(address, Ok("who are you?".to_owned()));
        assert_eq!((counts.answered, counts.failed), ([1, 1], 2));
        assert_eq!(counts.text(), "4 requests during the update, 2 failed");
        assert_eq!(
            counts.first_failure.as_deref(),
            Some("http://10.42.200.2:8080/: refused")
        );
    }
}
