//! A pod's volumes, each by its type.

use super::page::{Page, or_none, scalar};
use crate::object::access::{integer, list, present, text, truth};
use serde_json::Value;

/// Field of a volume, its type's words, and what else is told of it.
type Told = (&'static str, &'static str, fn(&mut Page, &Value));

pub fn write(page: &mut Page, pod: &Value) {
    let volumes = list(pod, "/spec/volumes");
    if volumes.is_empty() {
        page.field(0, "Volumes", "<none>");
        return;
    }
    page.text(0, "Volumes:");
    for volume in volumes {
        page.text(1, &format!("{}:", text(volume, "/name")));
        let known: [Told; 9] = [
            (
                "emptyDir",
                "EmptyDir (a temporary directory that shares a pod's lifetime)",
                empty_dir,
            ),
            (
                "hostPath",
                "HostPath (bare host directory volume)",
                host_path,
            ),
            (
                "configMap",
                "ConfigMap (a volume populated by a ConfigMap)",
                config_map,
            ),
            ("secret", "Secret (a volume populated by a Secret)", secret),
            (
                "projected",
                "Projected (a volume that contains injected data from multiple sources)",
                projected,
            ),
            (
                "downwardAPI",
                "DownwardAPI (a volume populated by information about the pod)",
                downward,
            ),
            (
                "persistentVolumeClaim",
                "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
                claim,
            ),
            (
                "ephemeral",
                "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
                ephemeral,
            ),
            ("image", "Image (a container image or OCI artifact)", image),
        ];
        match known
            .iter()
            .find(|(field, _, _)| present(volume, &format!("/{field}")))
        {
            Some((field, kind, write)) => {
                page.field(2, "Type", kind);
                write(page, &volume[*field]);
            }
            None => page.text(2, "<unknown>"),
        }
    }
}

fn optional(page: &mut Page, source: &Value) {
    page.field(2, "Optional", &truth(source, "/optional").to_string());
}

fn empty_dir(page: &mut Page, source: &Value) {
    page.field(2, "Medium", text(source, "/medium"));
    let limit = scalar(&source["sizeLimit"]);
    page.field(
        2,
        "SizeLimit",
        if limit.is_empty() { "<unset>" } else { &limit },
    );
}

fn host_path(page: &mut Page, source: &Value) {
    page.field(2, "Path", text(source, "/path"));
    page.field(2, "HostPathType", text(source, "/type"));
}

fn config_map(page: &mut Page, source: &Value) {
    page.field(2, "Name", text(source, "/name"));
    optional(page, source);
}

fn secret(page: &mut Page, source: &Value) {
    page.field(2, "SecretName", text(source, "/secretName"));
    optional(page, source);
}

fn projected(page: &mut Page, source: &Value) {
    for part in list(source, "/sources") {
        if present(part, "/serviceAccountToken") {
            let seconds = integer(part, "/serviceAccountToken/expirationSeconds").to_string();
            page.field(2, "TokenExpirationSeconds", &seconds);
        } else if present(part, "/configMap") {
            page.field(2, "ConfigMapName", text(part, "/configMap/name"));
            optional(page, &part["configMap"]);
        } else if present(part, "/secret") {
            page.field(2, "SecretName", text(part, "/secret/name"));
            optional(page, &part["secret"]);
        } else if present(part, "/downwardAPI") {
            page.field(2, "DownwardAPI", "true");
        }
    }
}

fn downward(page: &mut Page, source: &Value) {
    page.text(2, "Items:");
    for item in list(source, "/items") {
        let from = match text(item, "/fieldRef/fieldPath") {
            "" => text(item, "/resourceFieldRef/resource"),
            field => field,
        };
        page.text(3, &format!("{from} -> {}", text(item, "/path")));
    }
}

fn claim(page: &mut Page, source: &Value) {
    page.field(2, "ClaimName", text(source, "/claimName"));
    page.field(2, "ReadOnly", &truth(source, "/readOnly").to_string());
}

fn ephemeral(page: &mut Page, source: &Value) {
    let spec = &source["volumeClaimTemplate"]["spec"];
    page.field(2, "StorageClass", text(spec, "/storageClassName"));
    let size = scalar(&spec["resources"]["requests"]["storage"]);
    page.field(2, "Capacity", or_none(&size));
    let modes: Vec<String> = list(spec, "/accessModes").iter().map(scalar).collect();
    page.field(2, "Access Modes", or_none(&modes.join(",")));
}

fn image(page: &mut Page, source: &Value) {
    page.field(2, "Reference", text(source, "/reference"));
    page.field(2, "PullPolicy", text(source, "/pullPolicy"));
}
