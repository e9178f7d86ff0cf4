//! `describe`: one object and its events as text, in `kubectl describe`'s format.
//!
//! What comes in: JSON as the API serves it, and the time. What goes out: text. Pure; never asks the API anything.

mod allocated;
mod config;
mod generic;
mod namespace;
mod node;
mod page;
mod pod;
mod probes;
mod service;
mod volumes;

use page::Page;
use serde_json::Value;

/// The page of a node with what its pods have asked for. `pods`: those that are not over.
pub fn describe_node(node: &Value, pods: &[Value], events: &[Value], now: i64) -> String {
    let mut page = Page::default();
    node::write(&mut page, node);
    allocated::write(&mut page, node, pods, now);
    page::events(&mut page, events, now);
    page.finish()
}

/// The page of one object. `events`: those about it, in any order; `now`: Unix seconds.
pub fn describe(kind: &str, object: &Value, events: &[Value], now: i64) -> String {
    let mut page = Page::default();
    match kind {
        "Pod" => pod::write(&mut page, object),
        "Node" => node::write(&mut page, object),
        "Namespace" => namespace::write(&mut page, object),
        "Service" => service::write(&mut page, object),
        "ConfigMap" => config::config_map(&mut page, object),
        "Secret" => config::secret(&mut page, object),
        "ServiceAccount" => config::service_account(&mut page, object),
        _ => generic::write(&mut page, object),
    }
    // Secrets have none in kubectl's format; a namespace's page shows its quotas instead.
    if !matches!(kind, "Secret" | "Namespace") {
        page::events(&mut page, events, now);
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pages() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web", "tier": "a"}},
            "spec": {"nodeName": "n", "serviceAccountName": "default",
                "containers": [{"name": "a", "image": "busybox", "command": ["sleep", "1"], "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "X", "value": "1"}], "resources": {"limits": {"cpu": "1"}}, "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": true}]}],
                "volumes": [{"name": "v", "emptyDir": {}}]},
            "status": {"phase": "Running", "podIP": "10.42.0.2", "qosClass": "Burstable",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "a", "ready": true, "restartCount": 2, "state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 3}}}]},
        });
        let events = [
            json!({"type": "Normal", "reason": "Pulled", "message": "m", "source": {"component": "kubelet", "host": "n"},
            "count": 3, "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:00:50Z"}),
        ];
        let text = describe("Pod", &pod, &events, 60);
        for line in [
            "Name:             web",
            "Labels:           app=web",
            "                  tier=a",
            "Status:           Running",
            "  a:",
            "    Port:       80/TCP",
            "    State:          Running",
            "    Last State:     Terminated",
            "      Exit Code:    3",
            "    Restart Count:  2",
            "      /v from v (ro)",
            "  Ready  True ",
            "QoS Class:        Burstable",
            "  Normal  Pulled  10s (x3 over 60s)  kubelet, n  m",
        ] {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                text.lines().any(|l| words(l) == words(line)),
                "{line}\n{text}"
            );
        }
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn probes_gates_and_volumes_are_told() {
        let pod = json!({
            "spec": {"readinessGates": [{"conditionType": "g"}],
                "initContainers": [{"name": "s", "restartPolicy": "Always"}],
                "containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}],
                    "livenessProbe": {"exec": {"command": ["a", "b"]}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                    "readinessProbe": {"httpGet": {"scheme": "HTTP", "port": 80, "path": "/p"}}, "startupProbe": {"tcpSocket": {"port": "web"}}}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
                    {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607}}, {"configMap": {"name": "m"}}]}},
                    {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    {"name": "i", "image": {"reference": "r"}}]}});
        let text = describe("Pod", &pod, &[], 0);
        let words: Vec<String> = text
            .lines()
            .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for line in [
            "Restart Policy: Always",
            "Liveness: exec [a b] delay=0s timeout=1s period=10s #success=1 #failure=3",
            "Readiness: http-get http://:80/p delay=0s timeout=0s period=0s #success=0 #failure=0",
            "Startup: tcp-socket :web delay=0s timeout=0s period=0s #success=0 #failure=0",
            "/v from v (rw,path=\"x\")",
            "g <none>",
            "ClaimName: c",
            "TokenExpirationSeconds: 3607",
            "ConfigMapName: m",
            "metadata.labels -> l",
            "Reference: r",
        ] {
            assert!(words.iter().any(|have| have == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_node_tells_what_is_asked_of_it() {
        let node = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}});
        let pod = json!({"metadata": {"name": "p", "namespace": "x"}, "spec": {
            "initContainers": [{"resources": {"requests": {"cpu": "200m"}}}],
            "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1"}}}]}});
        let text = describe_node(&node, &[pod, json!(null)], &[], 0);
        for words in [
            "(2 in total)",
            "200m (10%)",
            "256Mi (25%)",
            "1 (0%)",
            "0 (0%)",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
    }

    #[test]
    fn secrets_stay_secret() {
        let text = describe(
            "Secret",
            &json!({"metadata": {"name": "a"}, "type": "Opaque", "data": {"k": "aGVsbG8="}}),
            &[],
            0,
        );
        assert!(text.contains("k:  5 bytes"), "{text}");
        assert!(!text.contains("hello") && !text.contains("aGVsbG8="));
    }

    #[test]
    fn nothing_breaks_them() {
        for kind in [
            "Pod",
            "Node",
            "Namespace",
            "Service",
            "ConfigMap",
            "Secret",
            "ServiceAccount",
            "Widget",
        ] {
            for object in [
                json!({}),
                json!(null),
                json!({"metadata": 1, "spec": {"containers": [1, {}], "volumes": [1], "ports": [1]}, "status": {"conditions": [1], "containerStatuses": {}}}),
            ] {
                assert!(!describe(kind, &object, &[json!(1)], 0).contains("panicked"));
            }
        }
    }
}
