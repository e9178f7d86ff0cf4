//! WATCH: changes as JSON lines, from a revision on.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>

use super::kinds::Kind;
use super::negotiate::Form;
use super::read::{Selectors, collect};
use super::status::{ApiError, ApiResult, json_response};
use super::table::IncludeObject;
use super::{Api, Call, body::api_version, form, prefix, stored_value};
use crate::store::{Change, ListOptions, Revision, StoreError, Stored, Watch};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use rand::Rng;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A watch without a time-out of its own ends after this, doubled at random, so that not all come back at once.
const WATCH_SECONDS_MIN: u64 = 1800;

/// How often a quiet watch that allows bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// Marks the bookmark that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

struct Stream {
    kind: &'static Kind,
    selectors: Selectors,
    form: Form,
    include: IncludeObject,
    /// A Table names its columns once.
    headers_sent: bool,
    bookmarks: bool,
    watch: Watch,
    ready: VecDeque<Bytes>,
    /// Objects of the initial state not sent yet.
    initial: std::vec::IntoIter<Stored>,
    initial_end: Option<Revision>,
    next_bookmark: Instant,
    ends: Instant,
    ended: bool,
}

impl Api {
    pub(super) fn watch(&self, call: &Call<'_>) -> ApiResult<Response<Body>> {
        let selectors = Selectors::of(call)?;
        let store = &self.parts.store;
        let prefix = prefix(call.kind, call.path.namespace.as_deref());
        let bookmarks = call.query.flag("allowWatchBookmarks");
        let initial_asked = call.query.given("sendInitialEvents");
        let initial_events = initial_asked == Some(true);
        match (call.query.text("resourceVersionMatch"), initial_asked) {
            (None, None) | (Some("NotOlderThan"), Some(_)) => {}
            (Some(_), None) => {
                return Err(ApiError::bad_request(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            (_, Some(_)) => {
                return Err(ApiError::bad_request(
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
        }
        let asked = call.query.revision()?.filter(|revision| revision.0 > 0);
        let current = store.revision();
        if let Some(asked) = asked.filter(|asked| *asked > current) {
            return Err(StoreError::Future { asked, current }.into());
        }
        // From a revision: what came after it. From none: the present state first.
        let (from, initial) = match asked {
            Some(from) if !initial_events => (from, Vec::new()),
            None if initial_asked == Some(false) => (current, Vec::new()),
            _ => {
                let page = collect(
                    store,
                    ListOptions {
                        prefix: prefix.clone(),
                        ..ListOptions::default()
                    },
                    &selectors,
                )?;
                (page.revision, page.items)
            }
        };
        let timeout = match call.query.number::<u64>("timeoutSeconds")? {
            Some(seconds) if seconds > 0 => seconds.min(WATCH_SECONDS_MIN * 4),
            _ => rand::rng().random_range(WATCH_SECONDS_MIN..WATCH_SECONDS_MIN * 2),
        };
        let now = Instant::now();
        let stream = Stream {
            kind: call.seen_as,
            selectors,
            form: call.form()?,
            include: form::include_object(&call.query)?,
            headers_sent: false,
            bookmarks,
            watch: store.watch(&prefix, from)?,
            ready: VecDeque::new(),
            initial: initial.into_iter(),
            initial_end: (initial_events && bookmarks).then_some(from),
            next_bookmark: now + BOOKMARK_INTERVAL,
            ends: now + Duration::from_secs(timeout),
            ended: false,
        };
        let lines = futures::stream::unfold(stream, |mut stream| async move {
            let line = stream.next().await?;
            Some((Ok::<_, std::convert::Infallible>(line), stream))
        });
        Ok(json_response(200, Body::from_stream(lines)))
    }
}

impl Stream {
    /// The next line; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            if let Some(stored) = self.initial.next() {
                self.push("ADDED", &stored.json);
                continue;
            }
            if let Some(revision) = self.initial_end.take() {
                self.bookmark(revision, true);
                continue;
            }
            tokio::select! {
                change = self.watch.next() => match change {
                    Ok(Some(change)) => self.change(&change),
                    Ok(None) => self.ended = true,
                    Err(error) => self.fail(error),
                },
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.bookmark(self.watch.progress(), false);
                }
                () = tokio::time::sleep_until(self.ends) => self.ended = true,
            }
        }
    }

    /// An object that enters the selection was added to it, one that leaves was deleted from it.
    fn change(&mut self, change: &Change) {
        if self.selectors.is_empty() {
            return match (&change.before, &change.after) {
                (None, Some(after)) => self.push("ADDED", after),
                (Some(_), Some(after)) => self.push("MODIFIED", after),
                (Some(before), None) => self.deleted(before, change.revision),
                (None, None) => {}
            };
        }
        let chosen = |json: &Option<Bytes>| {
            json.as_ref()
                .is_some_and(|json| self.selectors.choose(json).unwrap_or(false))
        };
        let (before, after) = (chosen(&change.before), chosen(&change.after));
        match (before, after, &change.before, &change.after) {
            (false, true, _, Some(json)) => self.push("ADDED", json),
            (true, true, _, Some(json)) => self.push("MODIFIED", json),
            (true, false, Some(json), _) => self.deleted(json, change.revision),
            _ => {}
        }
    }

    /// The last state, under the revision of the deletion.
    fn deleted(&mut self, before: &Bytes, revision: Revision) {
        match stored_value(before) {
            Ok(mut object) => {
                object["metadata"]["resourceVersion"] = revision.0.to_string().into();
                self.push("DELETED", object.to_string().as_bytes());
            }
            Err(error) => self.error(&error),
        }
    }

    fn push(&mut self, what: &str, json: &[u8]) {
        let line = match self.form {
            Form::Json | Form::Discovery => match form::shown(self.kind, json) {
                Ok(Some(shown)) => line(what, &shown),
                Ok(None) => line(what, json),
                Err(error) => return self.error(&error),
            },
            Form::Table | Form::Metadata => match stored_value(json) {
                Ok(object) => line(what, self.shaped(object).to_string().as_bytes()),
                Err(error) => return self.error(&error),
            },
        };
        self.ready.push_back(line);
        self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
    }

    fn shaped(&mut self, object: Value) -> Value {
        if self.form == Form::Metadata {
            return form::partial(&object);
        }
        let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
        let headers = !std::mem::replace(&mut self.headers_sent, true);
        form::table(self.kind, &[object], metadata, self.include, headers)
    }

    fn bookmark(&mut self, revision: Revision, initial_end: bool) {
        let mut metadata =
            json!({"resourceVersion": revision.0.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let (kind, api_version) = match self.form {
            Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            _ => (self.kind.kind, api_version(self.kind)),
        };
        let object = match self.form {
            Form::Table => form::table(self.kind, &[], metadata, self.include, false),
            _ => json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}),
        };
        self.ready
            .push_back(line("BOOKMARK", object.to_string().as_bytes()));
        self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
    }

    fn fail(&mut self, error: StoreError) {
        self.error(&ApiError::from(error));
    }

    fn error(&mut self, error: &ApiError) {
        self.ready
            .push_back(line("ERROR", error.to_value().to_string().as_bytes()));
        self.ended = true;
    }
}

fn line(what: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(what.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}
