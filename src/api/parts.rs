//! Parts of objects that are doors of their own: binding, finalize, log, exec, attach, portforward, proxy.

use super::kinds::{Kind, Subresource};
use super::query::Query;
use super::request::ResourcePath;
use super::status::{ApiError, ApiResult, json_response};
use super::update::check_revision;
use super::{Api, Call, body, discovery, form, key, metadata, stored_value};
use crate::object::access::{list, text};
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl Api {
    /// POST to `pods/{name}/binding`: gives a pod its node, once.
    pub(super) async fn bind(&self, call: &Call<'_>, binding: &Value) -> ApiResult<Response<Body>> {
        let (kind, name) = (call.kind, call.name()?);
        call.form()?;
        let node = text(binding, "/target/name").to_owned();
        let target_kind = text(binding, "/target/kind");
        let named = text(binding, "/metadata/name");
        if !named.is_empty() && named != name {
            return Err(ApiError::bad_request(format!(
                "the name of the binding ({named}) does not match the pod on the URL ({name})"
            )));
        }
        if node.is_empty() || !matches!(target_kind, "" | "Node") {
            return Err(ApiError::bad_request(
                "binding: target must name a Node (target.kind Node, target.name)",
            ));
        }
        let uid = text(binding, "/metadata/uid").to_owned();
        let now = metadata::timestamp(Timestamp::now());
        self.modify(call, |_, pod| {
            let refuse = |why: String| Err(ApiError::conflict(kind, name, &why));
            if !uid.is_empty() && uid != text(pod, "/metadata/uid") {
                return refuse(format!("pod {name} is another one by now (uid)"));
            }
            if !text(pod, "/metadata/deletionTimestamp").is_empty() {
                return refuse(format!(
                    "pod {name} is being deleted, cannot be assigned to a host"
                ));
            }
            let present = text(pod, "/spec/nodeName");
            if !present.is_empty() {
                return refuse(format!(
                    "pod {name} is already assigned to node {present:?}"
                ));
            }
            if !list(pod, "/spec/schedulingGates").is_empty() {
                return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
            }
            pod["spec"]["nodeName"] = node.as_str().into();
            set_scheduled(pod, &now);
            // The room that was being made for it is not needed any more, or elsewhere.
            if let Some(status) = pod["status"].as_object_mut() {
                status.shift_remove("nominatedNodeName");
            }
            Ok(())
        })
        .await?;
        Ok(json_response(
            201,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}).to_string(),
        ))
    }

    /// POST to `bindings`, the older door to the same: the binding bears the pod's name.
    pub(super) async fn bind_named(
        &self,
        call: &Call<'_>,
        body: Bytes,
    ) -> ApiResult<Response<Body>> {
        let binding = body::decode(call.headers, &body)?;
        let name = text(&binding, "/metadata/name").to_owned();
        if name.is_empty() || call.path.namespace.is_none() {
            return Err(ApiError::bad_request(
                "binding: metadata.name must name a pod, in the namespace of the path",
            ));
        }
        let pods = discovery::find(self.parts.kinds, "", "v1", "pods")
            .ok_or_else(ApiError::no_resource)?;
        let path = ResourcePath {
            name: Some(name),
            ..call.path.clone()
        };
        let call = Call {
            kind: pods,
            seen_as: pods,
            path: &path,
            query: call.query.clone(),
            headers: call.headers,
            user: call.user,
        };
        self.bind(&call, &binding).await
    }

    /// PUT to `namespaces/{name}/finalize`: the last finalizer lets the namespace go.
    pub(super) async fn finalize(&self, call: &Call<'_>, body: Bytes) -> ApiResult<Response<Body>> {
        let (kind, name, form) = (call.kind, call.name()?, call.form()?);
        let mut wanted = body::decode(call.headers, &body)?;
        body::check(kind, &mut wanted, call.query.field_validation()?)?;
        metadata::place(kind, &mut wanted, None, Some(name))?;
        let finalizers = list(&wanted, "/spec/finalizers").to_vec();
        let json = self
            .modify(call, |old, namespace| {
                check_revision(kind, name, &wanted, old)?;
                namespace["spec"]["finalizers"] = finalizers.clone().into();
                let errors = kind.strategy.validate(namespace);
                if errors.is_empty() {
                    Ok(())
                } else {
                    Err(ApiError::invalid(kind, name, &errors))
                }
            })
            .await?;
        form::object(kind, form, &call.query, 200, json)
    }

    /// Hands a request for logs, exec or the node itself to the kubelet concerned.
    pub(super) async fn pass_on(
        &self,
        kind: &'static Kind,
        path: &ResourcePath,
        query: &Query,
        part: Subresource,
        mut request: Request<Body>,
    ) -> ApiResult<Response<Body>> {
        let allowed: &[Method] = match part {
            Subresource::Log => &[Method::GET],
            Subresource::Exec | Subresource::Attach | Subresource::PortForward => {
                &[Method::GET, Method::POST]
            }
            _ => &[
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ],
        };
        if !allowed.contains(request.method()) {
            return Err(ApiError::method_not_allowed());
        }
        let name = path
            .name
            .as_deref()
            .ok_or_else(ApiError::method_not_allowed)?;
        let stored = self
            .parts
            .store
            .get(&key(kind, path.namespace.as_deref(), name))?
            .ok_or_else(|| ApiError::not_found(kind, name))?;
        let object = stored_value(&stored.json)?;
        let (node, target) = if part == Subresource::Proxy {
            (name.to_owned(), format!("/{}", path.rest))
        } else {
            let node = text(&object, "/spec/nodeName").to_owned();
            if node.is_empty() {
                return Err(ApiError::bad_request(format!(
                    "pod {name} does not have a host assigned"
                )));
            }
            let namespace = path.namespace.as_deref().unwrap_or_default();
            let door = match part {
                Subresource::Log => "containerLogs",
                Subresource::Attach => "attach",
                Subresource::PortForward => "portForward",
                _ => "exec",
            };
            // These are names of stored objects: DNS names, which need no escapes.
            let mut target = format!("/{door}/{namespace}/{name}");
            if part != Subresource::PortForward {
                target.push('/');
                target += &container(&object, name, query.text("container"), part)?;
            }
            (node, target)
        };
        let target = match request.uri().query() {
            Some(query) => format!("{target}?{query}"),
            None => target,
        };
        *request.uri_mut() = target.parse::<Uri>().map_err(|_| {
            ApiError::bad_request(format!("the path {target:?} cannot be passed on"))
        })?;
        Ok(self.parts.nodes.call(&node, request).await)
    }
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut conditions: Vec<Value> = list(pod, "/status/conditions").to_vec();
    conditions.retain(|one| one["type"] != "PodScheduled");
    conditions.push(condition);
    pod["status"]["conditions"] = conditions.into();
}

/// The container a request means: named, annotated as default, or the only one.
fn container(pod: &Value, name: &str, asked: Option<&str>, part: Subresource) -> ApiResult<String> {
    let names = |list_name: &str| -> Vec<&str> {
        list(pod, list_name)
            .iter()
            .map(|container| text(container, "/name"))
            .collect()
    };
    let (containers, inits) = (names("/spec/containers"), names("/spec/initContainers"));
    if let Some(asked) = asked {
        let debug = names("/spec/ephemeralContainers");
        return if [&containers, &inits, &debug]
            .iter()
            .any(|list| list.contains(&asked))
        {
            Ok(asked.to_owned())
        } else {
            Err(ApiError::bad_request(format!(
                "container {asked} is not valid for pod {name}"
            )))
        };
    }
    let default = pod["metadata"]["annotations"][DEFAULT_CONTAINER]
        .as_str()
        .unwrap_or_default();
    if containers.contains(&default) {
        return Ok(default.to_owned());
    }
    match containers.as_slice() {
        [only] => Ok((*only).to_owned()),
        // Upstream takes the first for exec and attach, and asks for a choice for logs.
        [first, ..] if part != Subresource::Log => Ok((*first).to_owned()),
        many => {
            let mut message = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            );
            if !inits.is_empty() {
                let _ = write!(
                    message,
                    " or one of the init containers: [{}]",
                    inits.join(" ")
                );
            }
            Err(ApiError::bad_request(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_meant_is_found_or_asked_for() {
        let pod = |containers: Value, annotations: Value| json!({"metadata": {"annotations": annotations}, "spec": {"containers": containers, "initContainers": [{"name": "i"}]}});
        let one = pod(json!([{"name": "a"}]), Value::Null);
        let two = pod(json!([{"name": "a"}, {"name": "b"}]), Value::Null);
        let chosen = pod(
            json!([{"name": "a"}, {"name": "b"}]),
            json!({DEFAULT_CONTAINER: "b"}),
        );
        let ask = |pod: &Value, asked, part| {
            container(pod, "p", asked, part).map_err(|error| error.message)
        };
        assert_eq!(ask(&one, None, Subresource::Log), Ok("a".into()));
        assert_eq!(ask(&one, Some("i"), Subresource::Log), Ok("i".into()));
        assert_eq!(
            ask(&one, Some("x"), Subresource::Log),
            Err("container x is not valid for pod p".into())
        );
        assert_eq!(ask(&chosen, None, Subresource::Log), Ok("b".into()));
        assert_eq!(ask(&two, None, Subresource::Exec), Ok("a".into()));
        assert_eq!(
            ask(&two, None, Subresource::Log),
            Err("a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]".into())
        );
    }
}
