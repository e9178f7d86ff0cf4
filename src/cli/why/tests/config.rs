//! What containers and volumes are made of.

use super::*;

pub fn situations() -> Vec<Situation> {
    let without_class = |mut facts: Facts| {
        for reference in &mut facts.references {
            let message = "storageclass.storage.k8s.io \"slow\" not found";
            reference.events = vec![event("ProvisioningFailed", message)];
        }
        facts
    };
    let env = |field: &str| {
        let mut pod = waiting("CreateContainerConfigError", "x");
        pod["spec"]["containers"][0]["env"] =
            json!([{"name": "A", "valueFrom": {field: {"name": "settings", "key": "colour"}}}]);
        pod
    };
    let volume = |volume: Value| {
        let mut pod = waiting("ContainerCreating", "");
        pod["spec"]["volumes"] = json!([volume]);
        pod
    };
    let claim = || volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}}));
    let mut secret = waiting("ErrImagePull", "r.io refuses to give it: unauthorized");
    secret["spec"]["imagePullSecrets"] = json!([{"name": "login"}]);
    vec![
        (
            "no config map",
            found(env("configMapKeyRef"), Kind::ConfigMap, &Lookup::Missing),
            &[
                "configmap \"settings\" does not exist in namespace shop",
                "coracle -n shop create configmap settings",
            ],
        ),
        (
            "no secret",
            found(env("secretKeyRef"), Kind::Secret, &Lookup::Missing),
            &[
                "secret \"settings\" does not exist",
                "create secret generic settings",
            ],
        ),
        (
            "no key",
            found(
                env("configMapKeyRef"),
                Kind::ConfigMap,
                &Lookup::There(json!({"data": {"color": "red"}})),
            ),
            &["has no key \"colour\"", "it has color"],
        ),
        (
            "root forbidden",
            facts(waiting(
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            )),
            &["runAsUser"],
        ),
        (
            "volume of no config map",
            found(
                volume(json!({"name": "v", "configMap": {"name": "files"}})),
                Kind::ConfigMap,
                &Lookup::Missing,
            ),
            &["(FailedMount): configmap \"files\" does not exist"],
        ),
        (
            "volume of no secret",
            found(
                volume(json!({"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}})),
                Kind::Secret,
                &Lookup::Missing,
            ),
            &["secret \"s\" does not exist"],
        ),
        (
            "host path",
            with_events(
                volume(json!({"name": "v", "hostPath": {"path": "/x", "type": "Directory"}})),
                &[(
                    "FailedMount",
                    "MountVolume.SetUp failed: hostPath type check failed: /x is not a directory",
                )],
            ),
            &["not what hostPath.type asks for", "DirectoryOrCreate"],
        ),
        (
            "no claim",
            found(claim(), Kind::Claim, &Lookup::Missing),
            &["claim \"data\" (PersistentVolumeClaim) does not exist"],
        ),
        (
            "unbound claim",
            found(
                claim(),
                Kind::Claim,
                &Lookup::There(
                    json!({"spec": {"storageClassName": "slow"}, "status": {"phase": "Pending"}}),
                ),
            ),
            &[
                "not bound to a volume yet",
                "storage class \"slow\"",
                "describe pvc data",
            ],
        ),
        (
            "claim of a class that is not there",
            without_class(found(
                claim(),
                Kind::Claim,
                &Lookup::There(
                    json!({"spec": {"storageClassName": "slow"}, "status": {"phase": "Pending"}}),
                ),
            )),
            &["the storage class \"slow\" does not exist"],
        ),
        (
            "lost claim",
            found(
                claim(),
                Kind::Claim,
                &Lookup::There(json!({"spec": {"volumeName": "pv1"}, "status": {"phase": "Lost"}})),
            ),
            &["has lost its volume pv1"],
        ),
        (
            "sandbox",
            with_events(
                waiting("ContainerCreating", ""),
                &[("FailedCreatePodSandBox", "no veth")],
            ),
            &["namespaces and network", "coracle doctor"],
        ),
    ]
}
