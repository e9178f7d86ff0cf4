//! Services.

use super::page::{Page, entries, identity, or_none, scalar};
use crate::object::access::{integer, list, text};
use serde_json::Value;

pub fn write(page: &mut Page, service: &Value) {
    identity(page, service);
    let selector = entries(service, "/spec/selector", "=").replace('\n', ",");
    page.field(0, "Selector", &selector);
    page.field(0, "Type", text(service, "/spec/type"));
    page.field(
        0,
        "IP Family Policy",
        or_none(text(service, "/spec/ipFamilyPolicy")),
    );
    page.field(
        0,
        "IP Families",
        or_none(&joined(service, "/spec/ipFamilies")),
    );
    page.field(0, "IP", or_none(text(service, "/spec/clusterIP")));
    page.field(0, "IPs", or_none(&joined(service, "/spec/clusterIPs")));
    for (label, pointer) in [
        ("External IPs", "/spec/externalIPs"),
        ("External Name", "/spec/externalName"),
    ] {
        let value = match text(service, pointer) {
            "" => joined(service, pointer),
            name => name.to_owned(),
        };
        if !value.is_empty() {
            page.field(0, label, &value);
        }
    }
    for port in list(service, "/spec/ports") {
        let name = match text(port, "/name") {
            "" => "<unset>",
            name => name,
        };
        let protocol = text(port, "/protocol");
        page.row(
            0,
            [
                "Port:",
                name,
                &format!("{}/{protocol}", integer(port, "/port")),
            ],
        );
        page.field(
            0,
            "TargetPort",
            &format!("{}/{protocol}", scalar(&port["targetPort"])),
        );
        if integer(port, "/nodePort") != 0 {
            page.row(
                0,
                [
                    "NodePort:",
                    name,
                    &format!("{}/{protocol}", integer(port, "/nodePort")),
                ],
            );
        }
    }
    page.field(
        0,
        "Session Affinity",
        text(service, "/spec/sessionAffinity"),
    );
    for (label, pointer) in [
        ("External Traffic Policy", "/spec/externalTrafficPolicy"),
        ("Internal Traffic Policy", "/spec/internalTrafficPolicy"),
    ] {
        if !text(service, pointer).is_empty() {
            page.field(0, label, text(service, pointer));
        }
    }
}

fn joined(object: &Value, pointer: &str) -> String {
    let items: Vec<String> = list(object, pointer).iter().map(scalar).collect();
    items.join(",")
}
