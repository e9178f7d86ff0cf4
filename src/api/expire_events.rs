//! Events live for an hour (kube-apiserver's `--event-ttl`).

use super::{Api, stored_value};
use crate::object::access::text;
use crate::store::{Expect, ListOptions, Op, Txn, TxnOutcome};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVENT_SECONDS: i64 = 3600;

/// Keys deleted in one transaction, so that a storm of events leaves in steps.
const BATCH: usize = 200;

const PREFIX: &str = "events/";

/// Deletes events that have not been seen for an hour, until `stop`. Without any it sleeps and writes nothing.
pub async fn run(api: Api, stop: CancellationToken) {
    loop {
        let pause = match expire(&api, Timestamp::now()).await {
            Ok(Some(next)) => Duration::from_secs(next.clamp(30, EVENT_SECONDS).unsigned_abs()),
            Ok(None) => Duration::from_secs(EVENT_SECONDS.unsigned_abs()),
            Err(why) => {
                tracing::warn!("expired events stay for now: {why}");
                Duration::from_mins(1)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Seconds until the next event expires; `None`: there is none.
async fn expire(api: &Api, now: Timestamp) -> Result<Option<i64>, String> {
    let oldest_kept = now
        .checked_sub(SignedDuration::from_secs(EVENT_SECONDS))
        .unwrap_or(now);
    let mut next = None;
    let mut ops = Vec::new();
    let mut options = ListOptions {
        prefix: PREFIX.into(),
        limit: Some(BATCH),
        ..ListOptions::default()
    };
    loop {
        let page = api
            .parts
            .store
            .list(&options)
            .map_err(|error| error.to_string())?;
        options.after = page.items.last().map(|item| item.key.clone());
        for item in page.items {
            let event = stored_value(&item.json).map_err(|error| error.message)?;
            let seen = [
                text(&event, "/lastTimestamp"),
                text(&event, "/metadata/creationTimestamp"),
            ]
            .iter()
            .find_map(|time| time.parse::<Timestamp>().ok());
            match seen {
                Some(seen) if seen > oldest_kept => {
                    let left = seen.duration_since(oldest_kept).as_secs();
                    next = Some(next.map_or(left, |next: i64| next.min(left)));
                }
                _ => ops.push(Op::Delete {
                    key: item.key,
                    expect: Expect::Revision(item.revision),
                }),
            }
        }
        if !ops.is_empty() {
            let txn = Txn {
                ops: std::mem::take(&mut ops),
            };
            let outcome = api
                .parts
                .writer
                .commit(txn)
                .await
                .map_err(|error| error.to_string())?;
            // An event seen again meanwhile keeps the batch from applying: another round, soon.
            if let TxnOutcome::Conflict { .. } = outcome {
                next = Some(0);
            }
        }
        if !page.more {
            return Ok(next);
        }
    }
}
