//! The API server's own `/metrics`: requests by verb and resource, and how long they took.
//! <https://kubernetes.io/docs/reference/instrumentation/metrics/#list-of-stable-kubernetes-metrics>

use super::kinds::Kind;
use super::request::{ResourcePath, Target};
use super::{GIT_VERSION, discovery};
use crate::exposition::Kind::{Counter, Gauge, Histogram};
use crate::exposition::{self, Page};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Series kept. They are bounded by verbs, known resources and codes anyway; this bounds them by a number.
const SERIES_MAX: usize = 1024;
/// Upper bounds of the histogram, seconds: some of upstream's.
const BUCKETS: [f64; 10] = [0.005, 0.025, 0.1, 0.2, 0.6, 1.0, 2.0, 5.0, 15.0, 60.0];

/// What a request was, in names this server knows: nothing a client made up gets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
}

impl Label {
    pub fn of(
        kinds: &'static [Kind],
        method: &http::Method,
        target: &Target,
        watch: bool,
    ) -> Label {
        let (kind, path) = match target {
            Target::Resource(path) => (
                discovery::find(kinds, &path.group, &path.version, &path.resource),
                Some(path),
            ),
            _ => (None, None),
        };
        let subresource = path
            .and_then(|path| path.subresource.as_deref())
            .map_or("", part);
        Label {
            verb: verb(method, path, subresource, watch),
            group: kind.map_or("", |kind| kind.group),
            version: kind.map_or("", |kind| kind.version),
            resource: kind.map_or("", |kind| kind.plural),
            subresource: kind.map_or("", |_| subresource),
            scope: kind.map_or("", |_| scope(path)),
        }
    }

    /// Ends when the client goes: its duration says nothing.
    fn is_long(&self) -> bool {
        matches!(self.verb, "WATCH" | "CONNECT") || self.subresource == "log"
    }
}

fn verb(
    method: &http::Method,
    path: Option<&ResourcePath>,
    subresource: &str,
    watch: bool,
) -> &'static str {
    let named = path.is_none_or(|path| path.name.is_some());
    match method.as_str() {
        _ if matches!(subresource, "exec" | "attach" | "portforward" | "proxy") => "CONNECT",
        "GET" | "HEAD" if watch => "WATCH",
        "GET" | "HEAD" if named => "GET",
        "GET" | "HEAD" => "LIST",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" if named => "DELETE",
        "DELETE" => "DELETECOLLECTION",
        _ => "other",
    }
}

fn part(word: &str) -> &'static str {
    const PARTS: [&str; 12] = [
        "status",
        "binding",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
        "finalize",
        "token",
        "eviction",
        "resize",
        "ephemeralcontainers",
    ];
    PARTS
        .into_iter()
        .find(|known| *known == word)
        .unwrap_or("other")
}

fn scope(path: Option<&ResourcePath>) -> &'static str {
    match path {
        Some(path) if path.name.is_some() => "resource",
        Some(path) if path.namespace.is_some() => "namespace",
        _ => "cluster",
    }
}

/// How many took how long.
#[derive(Debug, Clone, Default)]
struct Durations {
    buckets: [u64; BUCKETS.len()],
    above: u64,
    sum_s: f64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(Label, u16), u64>,
    durations: BTreeMap<Label, Durations>,
}

/// Counts since this process began.
#[derive(Debug, Default)]
pub struct Telemetry {
    counts: Mutex<Counts>,
}

impl Telemetry {
    /// A request was answered.
    pub fn record(&self, label: Label, code: u16, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !label.is_long()
            && (counts.durations.len() < SERIES_MAX || counts.durations.contains_key(&label))
        {
            let durations = counts.durations.entry(label.clone()).or_default();
            let seconds = took.as_secs_f64();
            durations.sum_s += seconds;
            match BUCKETS.iter().position(|bound| seconds <= *bound) {
                Some(place) => durations.buckets[place] += 1,
                None => durations.above += 1,
            }
        }
        let key = (label, code);
        if counts.requests.len() < SERIES_MAX || counts.requests.contains_key(&key) {
            *counts.requests.entry(key).or_default() += 1;
        }
    }

    /// The page.
    pub fn page(&self) -> String {
        let mut page = Page::default();
        {
            let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            page.family(
                "apiserver_request_total",
                Counter,
                "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
            );
            for ((label, code), count) in &counts.requests {
                let code = code.to_string();
                let labels = [
                    ("code", code.as_str()),
                    ("component", "apiserver"),
                    ("dry_run", ""),
                    ("group", label.group),
                    ("resource", label.resource),
                    ("scope", label.scope),
                    ("subresource", label.subresource),
                    ("verb", label.verb),
                    ("version", label.version),
                ];
                page.sample(&labels, count);
            }
            page.family(
                "apiserver_request_duration_seconds",
                Histogram,
                "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
            );
            for (label, durations) in &counts.durations {
                let buckets: Vec<(f64, u64)> = BUCKETS.into_iter().zip(durations.buckets).collect();
                let labels = [
                    ("component", "apiserver"),
                    ("dry_run", ""),
                    ("group", label.group),
                    ("resource", label.resource),
                    ("scope", label.scope),
                    ("subresource", label.subresource),
                    ("verb", label.verb),
                    ("version", label.version),
                ];
                page.histogram(&labels, &buckets, durations.above, durations.sum_s);
            }
        }
        page.family(
            "kubernetes_build_info",
            Gauge,
            "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
        )
        .sample(&[("git_version", GIT_VERSION)], 1);
        exposition::process(&mut page);
        page.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_under_names_the_server_knows() {
        let kinds = super::super::kinds::all();
        let telemetry = Telemetry::default();
        for (method, path, watch, code, took_ms) in [
            ("GET", "/api/v1/namespaces/a/pods", false, 200, 3),
            ("GET", "/api/v1/namespaces/b/pods", false, 200, 70_000),
            ("GET", "/api/v1/pods", true, 200, 1),
            ("POST", "/apis/made.up/v1/things", false, 404, 1),
            ("GET", "/api/v1/namespaces/a/pods/p/exec", false, 101, 1),
        ] {
            let method = http::Method::from_bytes(method.as_bytes()).unwrap_or_default();
            let label = Label::of(kinds, &method, &Target::parse(path), watch);
            telemetry.record(label, code, Duration::from_millis(took_ms));
        }
        let page = telemetry.page();
        for line in [
            "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 2",
            "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"\",scope=\"\",subresource=\"\",verb=\"POST\",version=\"\"} 1",
            "apiserver_request_duration_seconds_bucket{component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\",le=\"60\"} 1",
            "apiserver_request_duration_seconds_bucket{component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\",le=\"+Inf\"} 2",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}\n{page}");
        }
        assert!(page.contains("verb=\"WATCH\"") && page.contains("verb=\"CONNECT\""));
        assert!(!page.contains("made.up"));
    }
}
