//! Who a pod is to its own programs: names, hosts file, variables.

use crate::busybox::IMAGE;
use crate::common::TestNode;
use crate::namespace;
use serde_json::{Value, json};

pub const TESTS: &[(&str, fn())] = &[
    ("names_and_the_hosts_file", names_and_the_hosts_file),
    ("a_full_name_too_long_is_told", a_full_name_too_long_is_told),
    ("services_as_variables", services_as_variables),
    ("variables_from_a_file", variables_from_a_file),
    (
        "a_pods_own_fields_and_resources_as_variables",
        a_pods_own_fields_and_resources_as_variables,
    ),
];

fn apply(node: &TestNode, space: &str, name: &str, spec: Value, container: Value) {
    let mut main = json!({"name": "main", "image": IMAGE, "command": ["sleep", "3600"]});
    json_patch::merge(&mut main, &container);
    let mut whole = json!({"terminationGracePeriodSeconds": 0, "containers": [main]});
    json_patch::merge(&mut whole, &spec);
    let manifest = json!({"apiVersion": "v1", "kind": "Pod", "spec": whole,
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {"note": "a b"}}});
    node.kubectl_input(&["-n", space, "apply", "-f", "-"], &manifest.to_string())
        .must();
}

fn said(node: &TestNode, space: &str, name: &str, script: &str) -> String {
    node.wait_for(space, &format!("pod/{name}"), "{.status.phase}", "Running");
    node.kubectl(&["-n", space, "exec", name, "--", "sh", "-c", script])
        .must()
        .stdout
}

fn names_and_the_hosts_file() {
    let node = namespace("names");
    let script = "hostname; echo $HOSTNAME; cat /etc/hostname";
    let full = "sea.harbour.names.svc.cluster.local";
    for (name, spec, kernel, hosts) in [
        ("plain", json!({}), "plain", "plain"),
        (
            "short",
            json!({"hostname": "sea", "subdomain": "harbour"}),
            "sea",
            "sea.harbour.names.svc.cluster.local\tsea",
        ),
        (
            "full",
            json!({"hostname": "sea", "subdomain": "harbour", "setHostnameAsFQDN": true}),
            full,
            "sea.harbour.names.svc.cluster.local\tsea",
        ),
        (
            "override",
            json!({"hostnameOverride": "deep.sea", "subdomain": "harbour"}),
            "deep.sea",
            "deep.sea",
        ),
    ] {
        let mut spec = spec;
        spec["hostAliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["foo.local", "bar.local"]}]);
        apply(&node, "names", name, spec, json!({}));
        assert_eq!(
            said(&node, "names", name, script),
            format!("{kernel}\n{kernel}\n{kernel}\n"),
            "{name}"
        );
        let ip = node.value("names", &format!("pod/{name}"), "{.status.podIP}");
        let file = said(&node, "names", name, "cat /etc/hosts");
        assert!(
            file.starts_with("# Kubernetes-managed hosts file.\n"),
            "{file}"
        );
        assert!(file.contains(&format!("\n{ip}\t{hosts}\n")), "{file}");
        assert!(
            file.ends_with("\n# Entries added by HostAliases.\n10.1.2.3\tfoo.local\tbar.local\n"),
            "{file}"
        );
    }
}

fn a_full_name_too_long_is_told() {
    let node = namespace("long-names");
    let spec =
        json!({"subdomain": "a-rather-long-subdomain-of-a-cluster", "setHostnameAsFQDN": true});
    apply(&node, "long-names", "long", spec, json!({}));
    let mut told = String::new();
    assert!(
        crate::common::eventually(|| {
            told = node.kubectl(&["-n", "long-names", "get", "events"]).stdout;
            told.contains("is too long (64 characters is the max")
        }),
        "{told}"
    );
    node.kubectl(&["-n", "long-names", "delete", "pod", "long", "--force"])
        .must();
}

fn services_as_variables() {
    let node = namespace("links");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "my-shop"},
        "spec": {"selector": {"app": "x"}, "ports": [{"name": "web", "port": 80}]}});
    node.kubectl_input(&["-n", "links", "apply", "-f", "-"], &service.to_string())
        .must();
    let address = node.value("links", "service/my-shop", "{.spec.clusterIP}");
    let script = "echo $MY_SHOP_SERVICE_HOST:$MY_SHOP_SERVICE_PORT:$MY_SHOP_SERVICE_PORT_WEB; echo $MY_SHOP_PORT_80_TCP; \
        echo $URL; echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT";
    let with =
        json!({"env": [{"name": "URL", "value": "http://$(MY_SHOP_SERVICE_HOST)/$(NOBODY)"}]});
    // The kubelet hears of the service a moment after its maker does.
    let mut seen = String::new();
    let mut number = 0;
    let linked = crate::common::eventually(|| {
        number += 1;
        let name = format!("linked-{number}");
        apply(&node, "links", &name, json!({}), with.clone());
        seen = said(&node, "links", &name, script);
        seen.starts_with(&address)
    });
    let api = node.value(
        "default",
        "service/kubernetes",
        "{.spec.clusterIP}:{.spec.ports[0].port}",
    );
    assert!(linked, "{seen}");
    assert_eq!(
        seen,
        format!("{address}:80:80\ntcp://{address}:80\nhttp://{address}/$(NOBODY)\n{api}\n")
    );
    apply(
        &node,
        "links",
        "alone",
        json!({"enableServiceLinks": false}),
        with,
    );
    assert_eq!(
        said(&node, "links", "alone", script),
        format!("::\n\nhttp://$(MY_SHOP_SERVICE_HOST)/$(NOBODY)\n{api}\n")
    );
}

fn a_pods_own_fields_and_resources_as_variables() {
    let node = namespace("fields");
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let resource = |name: &str, divisor: &str| json!({"resourceFieldRef": {"resource": name, "divisor": divisor}});
    let sources = [
        ("NAME", field("metadata.name")),
        ("SPACE", field("metadata.namespace")),
        ("LABEL", field("metadata.labels['app']")),
        ("NOTE", field("metadata.annotations['note']")),
        ("ACCOUNT", field("spec.serviceAccountName")),
        ("NODE", field("spec.nodeName")),
        ("IP", field("status.podIP")),
        ("HOST", field("status.hostIP")),
        ("MILLI", resource("limits.cpu", "1m")),
        ("MEBI", resource("requests.memory", "1Mi")),
        ("ALL_CPU", resource("limits.memory", "1")),
    ];
    let mut env: Vec<Value> = sources
        .iter()
        .map(|(name, source)| json!({"name": name, "valueFrom": source}))
        .collect();
    env.push(json!({"name": "BOTH", "value": "$(NAME).$(SPACE) $$(NAME)"}));
    let container = json!({"env": env, "resources": {"limits": {"cpu": "250m"}, "requests": {"memory": "33Mi"}}});
    apply(&node, "fields", "teller", json!({}), container);
    let seen = said(
        &node,
        "fields",
        "teller",
        "echo $NAME $SPACE $LABEL $NOTE $ACCOUNT $NODE $IP $HOST $MILLI $MEBI; echo $BOTH; echo $ALL_CPU",
    );
    let ip = node.value("fields", "pod/teller", "{.status.podIP}");
    let name = &node.name;
    let (first, memory) = seen.trim_end().rsplit_once('\n').expect("three lines");
    assert_eq!(
        first,
        format!(
            "teller fields teller a b default {name} {ip} 127.0.0.1 250 33\nteller.fields $(NAME)"
        )
    );
    assert!(
        memory.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 24),
        "{seen}"
    );
}

fn variables_from_a_file() {
    let node = namespace("env-files");
    let write =
        "printf \"# made\\nADDRESS='a b'\\n\" > /data/config.env; ln -s /etc/passwd /data/link.env";
    let from = |path: &str, optional: bool| json!({"valueFrom": {"fileKeyRef": {"volumeName": "v", "path": path, "key": "ADDRESS", "optional": optional}}});
    let named = |name: &str, mut source: Value| {
        source["name"] = name.into();
        source
    };
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}], "initContainers": [{"name": "writer", "image": IMAGE,
        "command": ["sh", "-c", write], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}]});
    let env = [
        named("TOLD", from("config.env", false)),
        named("NOT", from("absent.env", true)),
    ];
    apply(
        &node,
        "env-files",
        "reader",
        spec.clone(),
        json!({"env": env}),
    );
    assert_eq!(
        said(
            &node,
            "env-files",
            "reader",
            "echo \"<$TOLD> <${NOT-none}>\""
        ),
        "<a b> <none>\n"
    );
    // A link leads no further than the volume.
    let env = [named("TOLD", from("link.env", false))];
    apply(&node, "env-files", "sneaky", spec, json!({"env": env}));
    let waiting = "{.status.containerStatuses[0].state.waiting";
    node.wait_for(
        "env-files",
        "pod/sneaky",
        &format!("{waiting}.reason}}"),
        "CreateContainerConfigError",
    );
    assert_eq!(
        node.value("env-files", "pod/sneaky", &format!("{waiting}.message}}")),
        "file \"link.env\" not found in volume \"v\""
    );
}
