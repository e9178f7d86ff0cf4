//! What debugging sends to the API: ephemeral containers, copies of pods, pods on nodes. Pure.

use super::{Profile, PullPolicy};
use crate::object::access::{list, text};
use serde_json::{Map, Value, json};

/// The container to look around with.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    pub name: &'a str,
    /// `None`: the copied container's own.
    pub image: Option<&'a str>,
    pub command: &'a [String],
    pub env: &'a [(String, String)],
    pub pull_policy: Option<PullPolicy>,
    pub stdin: bool,
    pub tty: bool,
    pub profile: Profile,
}

impl Container<'_> {
    /// The fields that are given, over `base`.
    fn over(&self, base: Value) -> Value {
        let mut fields: Map<String, Value> = match base {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.insert("name".to_owned(), json!(self.name));
        if let Some(image) = self.image {
            fields.insert("image".to_owned(), json!(image));
        }
        if let Some(policy) = self.pull_policy {
            let policy = match policy {
                PullPolicy::Always => "Always",
                PullPolicy::IfNotPresent => "IfNotPresent",
                PullPolicy::Never => "Never",
            };
            fields.insert("imagePullPolicy".to_owned(), json!(policy));
        }
        if !self.command.is_empty() {
            fields.insert("command".to_owned(), json!(self.command));
            fields.remove("args");
        }
        if !self.env.is_empty() {
            let fresh = self
                .env
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}));
            let kept = fields
                .get("env")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter(|old| self.env.iter().all(|(name, _)| text(old, "/name") != name))
                .cloned();
            let env: Vec<Value> = kept.chain(fresh).collect();
            fields.insert("env".to_owned(), Value::Array(env));
        }
        if self.stdin {
            fields.insert("stdin".to_owned(), json!(true));
        }
        if self.tty {
            fields.insert("tty".to_owned(), json!(true));
        }
        fields.insert("terminationMessagePolicy".to_owned(), json!("File"));
        Value::Object(fields)
    }
}

/// <https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/#debugging-profiles>
fn security(profile: Profile) -> Option<Value> {
    match profile {
        Profile::General => Some(json!({"capabilities": {"add": ["SYS_PTRACE"]}})),
        Profile::Baseline => None,
        Profile::Restricted => Some(json!({
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        })),
        Profile::Netadmin => Some(json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}})),
        Profile::Sysadmin => Some(json!({"privileged": true})),
    }
}

fn secured(mut container: Value, profile: Profile) -> Value {
    if let Some(context) = security(profile) {
        container["securityContext"] = context;
    }
    container
}

/// A strategic merge patch of the subresource `ephemeralcontainers`: the list is merged by name.
pub fn ephemeral_patch(container: &Container, target: Option<&str>) -> Value {
    let mut object = secured(container.over(json!({})), container.profile);
    if let Some(target) = target {
        object["targetContainerName"] = json!(target);
    }
    json!({"spec": {"ephemeralContainers": [object]}})
}

/// How a copy differs.
#[derive(Debug)]
pub struct Copy<'a> {
    pub name: &'a str,
    /// Container and image; `*`: all others.
    pub set_image: &'a [(String, String)],
    pub same_node: bool,
    pub share_processes: bool,
    /// Changed where the pod has it, added where not.
    pub container: Option<&'a Container<'a>>,
}

/// A pod like `pod`, without its labels (so that no Service sends it requests), its probes and its status.
pub fn copy(pod: &Value, plan: &Copy) -> Result<Value, anyhow::Error> {
    let mut spec = pod["spec"].clone();
    let fields = spec
        .as_object_mut()
        .ok_or_else(|| anyhow::anyhow!("the pod has no spec"))?;
    fields.remove("ephemeralContainers");
    if !plan.same_node {
        fields.remove("nodeName");
    }
    if plan.share_processes {
        fields.insert("shareProcessNamespace".to_owned(), json!(true));
    }
    let mut containers: Vec<Value> = list(pod, "/spec/containers").to_vec();
    for container in &mut containers {
        if let Some(fields) = container.as_object_mut() {
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                fields.remove(probe);
            }
        }
        let name = text(container, "/name");
        let other = plan
            .set_image
            .iter()
            .find(|(wanted, _)| wanted == name)
            .or_else(|| plan.set_image.iter().find(|(wanted, _)| wanted == "*"));
        if let Some((_, image)) = other {
            container["image"] = json!(image);
        }
    }
    for (wanted, _) in plan.set_image {
        anyhow::ensure!(
            wanted == "*"
                || containers
                    .iter()
                    .any(|container| text(container, "/name") == wanted),
            "--set-image: the pod has no container {wanted:?}"
        );
    }
    if let Some(wanted) = plan.container {
        let present = containers
            .iter_mut()
            .find(|container| text(container, "/name") == wanted.name);
        if let Some(container) = present {
            *container = wanted.over(container.take());
        } else {
            anyhow::ensure!(
                wanted.image.is_some(),
                "the pod has no container {:?}; a new one needs --image",
                wanted.name
            );
            containers.push(secured(wanted.over(json!({})), wanted.profile));
        }
    }
    fields.insert("containers".to_owned(), Value::Array(containers));
    let mut metadata = json!({"name": plan.name});
    if let Some(annotations) = pod["metadata"]["annotations"].as_object() {
        let kept: Map<String, Value> = annotations
            .iter()
            // What others keep about the original object does not hold for the copy.
            .filter(|(key, _)| {
                !key.starts_with("kubernetes.io/config")
                    && *key != "kubectl.kubernetes.io/last-applied-configuration"
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        metadata["annotations"] = Value::Object(kept);
    }
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

/// A pod on `node` with the node's file system at /host.
pub fn node_pod(name: &str, node: &str, container: &Container) -> Value {
    let profile = container.profile;
    let mut object = container.over(json!({}));
    // On a node the general profile has the node's namespaces instead of a capability.
    if profile != Profile::General {
        object = secured(object, profile);
    }
    let inside = !matches!(profile, Profile::Restricted | Profile::Baseline);
    let mut spec = json!({
        "nodeName": node, "restartPolicy": "Never", "tolerations": [{"operator": "Exists"}], "containers": [object],
    });
    if inside {
        spec["hostNetwork"] = json!(true);
        spec["hostPID"] = json!(true);
        spec["hostIPC"] = json!(true);
    }
    if profile != Profile::Restricted {
        spec["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
        spec["containers"][0]["volumeMounts"] =
            json!([{"name": "host-root", "mountPath": "/host"}]);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn container<'a>(
        name: &'a str,
        image: Option<&'a str>,
        command: &'a [String],
    ) -> Container<'a> {
        Container {
            name,
            image,
            command,
            env: &[],
            pull_policy: Some(PullPolicy::Never),
            stdin: true,
            tty: false,
            profile: Profile::General,
        }
    }

    #[test]
    fn an_ephemeral_container() {
        let command = ["sh".to_owned()];
        let patch = ephemeral_patch(&container("d", Some("i"), &command), Some("app"));
        assert_eq!(
            patch,
            json!({"spec": {"ephemeralContainers": [{
                "name": "d", "image": "i", "imagePullPolicy": "Never", "command": ["sh"], "stdin": true, "terminationMessagePolicy": "File",
                "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}, "targetContainerName": "app"}]}})
        );
    }

    #[test]
    fn copies() {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"app": "web"}, "annotations": {"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "x"}},
            "spec": {"nodeName": "n", "ephemeralContainers": [{}], "containers": [
                {"name": "app", "image": "i", "args": ["x"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}], "livenessProbe": {}},
                {"name": "other", "image": "j"}]},
            "status": {"phase": "Running"},
        });
        let command = ["sh".to_owned()];
        let env = [("A".to_owned(), "2".to_owned())];
        let mut changed = container("app", None, &command);
        changed.env = &env;
        let images = [("*".to_owned(), "k".to_owned())];
        let plan = Copy {
            name: "q",
            set_image: &images,
            same_node: false,
            share_processes: true,
            container: Some(&changed),
        };
        let made = copy(&pod, &plan).unwrap();
        assert_eq!(
            made["metadata"],
            json!({"name": "q", "annotations": {"a": "b"}})
        );
        assert_eq!(made["spec"]["nodeName"], Value::Null);
        assert_eq!(made["spec"]["shareProcessNamespace"], true);
        assert!(made["spec"].get("ephemeralContainers").is_none());
        let app = &made["spec"]["containers"][0];
        assert_eq!(app["image"], "k");
        assert_eq!(app["command"], json!(["sh"]));
        assert!(app.get("args").is_none() && app.get("livenessProbe").is_none());
        assert_eq!(
            app["env"],
            json!([{"name": "B", "value": "1"}, {"name": "A", "value": "2"}])
        );
        let added = container("new", Some("z"), &[]);
        let made = copy(
            &pod,
            &Copy {
                container: Some(&added),
                set_image: &[],
                same_node: true,
                ..plan
            },
        )
        .unwrap();
        assert_eq!(made["spec"]["containers"][2]["image"], "z");
        assert_eq!(made["spec"]["nodeName"], "n");
        let missing = [("nobody".to_owned(), "k".to_owned())];
        let plan = Copy {
            name: "q",
            set_image: &missing,
            same_node: false,
            share_processes: false,
            container: None,
        };
        assert!(copy(&pod, &plan).is_err());
        let unknown = container("new", None, &[]);
        assert!(
            copy(
                &pod,
                &Copy {
                    set_image: &[],
                    container: Some(&unknown),
                    ..plan
                }
            )
            .is_err()
        );
    }

    #[test]
    fn a_pod_on_a_node() {
        let pod = node_pod("x", "n", &container("debugger", Some("i"), &[]));
        assert_eq!(pod["spec"]["hostPID"], true);
        assert_eq!(pod["spec"]["volumes"][0]["hostPath"]["path"], "/");
        assert_eq!(
            pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
            "/host"
        );
        assert!(
            pod["spec"]["containers"][0]
                .get("securityContext")
                .is_none()
        );
        let mut restricted = container("debugger", Some("i"), &[]);
        restricted.profile = Profile::Restricted;
        let pod = node_pod("x", "n", &restricted);
        assert!(pod["spec"].get("volumes").is_none() && pod["spec"].get("hostPID").is_none());
        assert_eq!(
            pod["spec"]["containers"][0]["securityContext"]["runAsNonRoot"],
            true
        );
    }
}
