//! Statistics over HTTP: `/stats/summary` and the pages for Prometheus.

use super::{Server, flag, query};
use crate::exposition::Kind::{Counter, Gauge};
use crate::exposition::{self, Page};
use crate::kubelet::stats::summary::{Disks, PodDisks, summary};
use crate::kubelet::stats::{filesystem, pages, resource_page};
use ::http::{HeaderValue, Request, Response, header};
use axum::body::Body;
use axum::extract::State;

/// `?only_cpu_and_memory=true` leaves disks and networks out (upstream's parameter).
pub async fn stats_summary(State(server): State<Server>, request: Request<Body>) -> Response<Body> {
    let sample = server.stats.rates().await;
    let node = &server.ctx.node_name;
    let value = if flag(&query(request.uri()), "only_cpu_and_memory") {
        summary(node, &sample, None)
    } else {
        let by_pod = pod_disks(&server).await;
        summary(node, &sample, Some((&node_disks(&server), &by_pod)))
    };
    answer(value.to_string(), "application/json")
}

fn node_disks(server: &Server) -> Disks {
    let images = server.ctx.puller.images().list();
    Disks {
        node: filesystem(&server.ctx.dirs.pods).unwrap_or_default(),
        images: filesystem(&server.ctx.images_dir).unwrap_or_default(),
        image_bytes: images.iter().map(|image| image.size_bytes).sum(),
    }
}

async fn pod_disks(server: &Server) -> Vec<PodDisks> {
    let mut found = Vec::new();
    for view in server.pods.views() {
        let uid = view.pod.metadata.uid.clone().unwrap_or_default();
        found.push((uid, server.stats.disk(&view).await));
    }
    found
}

pub async fn cadvisor(State(server): State<Server>) -> Response<Body> {
    let sample = server.stats.counters().await;
    let disks = pod_disks(&server).await;
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    page(pages::cadvisor(&sample, cpus, &disks))
}

pub async fn resource(State(server): State<Server>) -> Response<Body> {
    page(resource_page::resource(&*server.stats.counters().await))
}

pub async fn probes(State(server): State<Server>) -> Response<Body> {
    page(server.ctx.counters.probes.page())
}

/// The kubelet's own.
pub async fn metrics(State(server): State<Server>) -> Response<Body> {
    let views = server.pods.views();
    let containers = || views.iter().flat_map(|view| view.containers.values());
    let running = containers().filter(|container| container.running).count();
    let exited = containers()
        .filter(|container| !container.running && container.attempt.is_some())
        .count();
    let pods = views
        .iter()
        .filter(|view| view.containers.values().any(|c| c.running))
        .count();
    let mut text = Page::default();
    text.family(
        "kubelet_node_name",
        Gauge,
        "The node's name. The count is always 1.",
    )
    .sample(&[("node", &server.ctx.node_name)], 1);
    text.family(
        "kubelet_running_pods",
        Gauge,
        "Number of pods that have a running pod sandbox",
    )
    .sample(&[], pods);
    text.family(
        "kubelet_running_containers",
        Gauge,
        "Number of containers currently running",
    )
    .sample(&[("container_state", "exited")], exited)
    .sample(&[("container_state", "running")], running);
    text.family(
        "kubelet_evictions",
        Counter,
        "Cumulative number of pod evictions by eviction signal",
    );
    for (signal, count) in server.ctx.counters.evictions() {
        text.sample(&[("eviction_signal", signal)], count);
    }
    text.family(
        "kubelet_image_garbage_collected_total",
        Counter,
        "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
    )
    .sample(&[("reason", "space")], server.ctx.counters.images_removed());
    exposition::process(&mut text);
    page(text.finish())
}

fn page(text: String) -> Response<Body> {
    answer(text, exposition::MEDIA_TYPE)
}

fn answer(text: String, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
