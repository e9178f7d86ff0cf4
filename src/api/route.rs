//! Which handler a request about objects goes to: by kind, subresource and method.

use super::kinds::{self, Kind, Subresource};
use super::query::Query;
use super::request::ResourcePath;
use super::status::{ApiError, ApiResult};
use super::{Api, Call, User, body, discovery};
use axum::body::Body;
use http::{Method, Request, Response};

impl Api {
    pub(super) async fn resource(
        &self,
        user: Option<&User>,
        path: &ResourcePath,
        request: Request<Body>,
    ) -> ApiResult<Response<Body>> {
        let seen_as = discovery::find(self.parts.kinds, &path.group, &path.version, &path.resource)
            .ok_or_else(ApiError::no_resource)?;
        let kind = discovery::stored(self.parts.kinds, seen_as);
        if path.namespace.is_some() && !kind.namespaced {
            return Err(ApiError::no_resource());
        }
        if path.name.is_some() && kind.namespaced && path.namespace.is_none() {
            return Err(ApiError::no_resource());
        }
        let part = match path.subresource.as_deref() {
            None => None,
            Some(word) => Some(part_of(kind, word).ok_or_else(ApiError::no_resource)?),
        };
        if !path.rest.is_empty() && part != Some(Subresource::Proxy) {
            return Err(ApiError::no_resource());
        }
        let query = Query::parse(request.uri().query())?;
        // These pass the request on whole: its body may be a stream and its connection may be upgraded.
        if let Some(
            part @ (Subresource::Log
            | Subresource::Exec
            | Subresource::Attach
            | Subresource::PortForward
            | Subresource::Proxy),
        ) = part
        {
            return self.pass_on(kind, path, &query, part, request).await;
        }
        let (head, body) = request.into_parts();
        let call = Call {
            kind,
            seen_as,
            path,
            query,
            headers: &head.headers,
            user,
        };
        if kind.group == kinds::metrics::GROUP {
            return if head.method == Method::GET && !call.query.flag("watch") {
                self.metrics(&call).await
            } else {
                Err(ApiError::method_not_allowed())
            };
        }
        if kind.is_review() {
            return if head.method == Method::POST && path.name.is_none() {
                self.review(&call, body::read(body).await?)
            } else {
                Err(ApiError::method_not_allowed())
            };
        }
        if kind.is_bindings() {
            return if head.method == Method::POST && path.name.is_none() {
                self.bind_named(&call, body::read(body).await?).await
            } else {
                Err(ApiError::method_not_allowed())
            };
        }
        let on_object = path.name.is_some();
        match (head.method, part) {
            (Method::GET, Some(Subresource::Scale)) => self.scale(&call),
            (Method::PUT, Some(Subresource::Scale)) => {
                self.replace_scale(&call, body::read(body).await?).await
            }
            (Method::PATCH, Some(Subresource::Scale)) => {
                self.patch_scale(&call, body::read(body).await?).await
            }
            (
                Method::GET,
                None
                | Some(Subresource::Status | Subresource::EphemeralContainers | Subresource::Resize),
            ) if on_object => self.get(&call),
            (Method::GET, None) if call.query.flag("watch") => self.watch(&call),
            (Method::GET, None) => self.list(&call),
            (Method::POST, None) if !on_object => self.create(&call, body::read(body).await?).await,
            (Method::POST, Some(Subresource::Binding)) => {
                let binding = body::decode(call.headers, &body::read(body).await?)?;
                self.bind(&call, &binding).await
            }
            (Method::POST, Some(Subresource::Eviction)) => {
                self.evict(&call, body::read(body).await?).await
            }
            (
                Method::PUT,
                None
                | Some(Subresource::Status | Subresource::EphemeralContainers | Subresource::Resize),
            ) if on_object => self.replace(&call, part, body::read(body).await?).await,
            (Method::POST, Some(Subresource::Token)) => {
                self.request_token(&call, body::read(body).await?)
            }
            (Method::PUT, Some(Subresource::Finalize)) => {
                self.finalize(&call, body::read(body).await?).await
            }
            (
                Method::PATCH,
                None
                | Some(Subresource::Status | Subresource::EphemeralContainers | Subresource::Resize),
            ) if on_object => self.patch(&call, part, body::read(body).await?).await,
            (Method::DELETE, None) if on_object => {
                self.delete(&call, body::read(body).await?).await
            }
            (Method::DELETE, None) if kind.verbs().contains(&"deletecollection") => {
                self.delete_collection(&call, body::read(body).await?).await
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }
}

fn part_of(kind: &Kind, word: &str) -> Option<Subresource> {
    let part = match word {
        "status" => Subresource::Status,
        "binding" => Subresource::Binding,
        "log" => Subresource::Log,
        "exec" => Subresource::Exec,
        "attach" => Subresource::Attach,
        "portforward" => Subresource::PortForward,
        "proxy" => Subresource::Proxy,
        "finalize" => Subresource::Finalize,
        "token" => Subresource::Token,
        "ephemeralcontainers" => Subresource::EphemeralContainers,
        "resize" => Subresource::Resize,
        "eviction" => Subresource::Eviction,
        "scale" => Subresource::Scale,
        _ => return None,
    };
    kind.subresources.contains(&part).then_some(part)
}
