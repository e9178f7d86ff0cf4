//! A container's probes, each on a line, as kubectl words them.

use super::page::{Page, scalar};
use crate::object::access::{integer, list, present, text};
use serde_json::Value;

pub fn write(page: &mut Page, container: &Value) {
    for (label, field) in [
        ("Liveness", "livenessProbe"),
        ("Readiness", "readinessProbe"),
        ("Startup", "startupProbe"),
    ] {
        if container[field].is_object() {
            page.field(2, label, &line(&container[field]));
        }
    }
}

fn line(probe: &Value) -> String {
    format!(
        "{} delay={}s timeout={}s period={}s #success={} #failure={}",
        question(probe),
        integer(probe, "/initialDelaySeconds"),
        integer(probe, "/timeoutSeconds"),
        integer(probe, "/periodSeconds"),
        integer(probe, "/successThreshold"),
        integer(probe, "/failureThreshold"),
    )
}

fn question(probe: &Value) -> String {
    if present(probe, "/exec") {
        let words: Vec<String> = list(probe, "/exec/command").iter().map(scalar).collect();
        format!("exec [{}]", words.join(" "))
    } else if present(probe, "/httpGet") {
        let get = &probe["httpGet"];
        format!(
            "http-get {}://{}:{}{}",
            text(get, "/scheme").to_lowercase(),
            text(get, "/host"),
            scalar(&get["port"]),
            text(get, "/path")
        )
    } else if present(probe, "/tcpSocket") {
        let socket = &probe["tcpSocket"];
        format!(
            "tcp-socket {}:{}",
            text(socket, "/host"),
            scalar(&socket["port"])
        )
    } else if present(probe, "/grpc") {
        let grpc = &probe["grpc"];
        format!(
            "grpc <pod>:{} {}",
            scalar(&grpc["port"]),
            text(grpc, "/service")
        )
    } else {
        "unknown".to_owned()
    }
}
