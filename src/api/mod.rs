//! The Kubernetes API server.
//!
//! What comes in: HTTP requests, each with the user the door recognised. What goes out: objects, lists, tables, watches
//! and `Status` errors; transactions to raft; requests to a node's kubelet for logs, exec and images.
//!
//! Invariants: an answer of success to a write means that it is durable. The revision a client saw decides whether its
//! write still applies. Objects are stored as the client will see them; GET, LIST and WATCH copy bytes unless a selector
//! or another form (Table, metadata only) is asked for. Every kind is served by the same code; what differs is in `kinds/`.
//!
//! It never knows about: sockets below [`server`], how a pod runs, which node is where.

mod admission;
mod authenticate;
mod authorize;
pub mod body;
pub mod bootstrap;
mod cluster_ip;
mod create;
mod delete;
mod discovery;
mod encode;
mod eviction;
pub mod expire_events;
mod form;
mod grants;
mod impersonate;
pub mod kinds;
mod metadata;
mod metrics;
mod negotiate;
mod node_limits;
pub mod openapi;
mod parts;
pub mod patch;
mod protobuf;
mod query;
pub mod rbac;
mod read;
pub mod request;
mod reviews;
mod route;
mod scale;
pub mod server;
mod soft;
pub mod status;
pub mod table;
mod telemetry;
mod token_request;
pub mod tokens;
mod turns;
mod update;
mod watch;

#[cfg(test)]
mod tests;

pub use discovery::{GIT_VERSION, architecture};

use crate::client::{ClientError, Door};
use crate::mesh::signing::SigningKey;
use crate::raft::Writer;
use crate::store::{Key, Store};
use axum::body::Body;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response};
use kinds::Kind;
use query::Query;
use rbac::PolicySource;
use request::{ResourcePath, Target};
use serde_json::{Value, json};
use status::{ApiError, ApiResult, json_response, qualified};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokens::Verifier;

/// The group of every user that was recognised.
pub const AUTHENTICATED: &str = "system:authenticated";

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    /// Empty where the credential has none (certificates).
    pub uid: String,
    /// What else the credential says, by upstream's keys.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What every API server of a cluster shares, and where this one is found.
pub struct Identity {
    pub signing_key: Arc<SigningKey>,
    /// The authority's certificate, for `kube-root-ca.crt`.
    pub root_certificate_pem: String,
    /// Where clients inside the cluster reach this server.
    pub address: SocketAddr,
}

/// Audiences of tokens that are meant for the API.
fn own_audiences() -> Vec<String> {
    vec![tokens::ISSUER.to_owned()]
}

/// The way to a node's kubelet for `pods/log`, `pods/exec` and `nodes/proxy`: the request has the kubelet's own paths
/// (`/containerLogs/{namespace}/{pod}/{container}`, `/exec/{namespace}/{pod}/{container}`, `/images…`) and keeps its
/// extensions, so that a WebSocket upgrade passes through.
pub trait NodeDoor: Send + Sync + 'static {
    fn call(&self, node: &str, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

/// Handles API requests; clones share it. Knows nothing of sockets.
#[derive(Clone)]
pub struct Api {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    writer: Writer,
    nodes: Arc<dyn NodeDoor>,
    kinds: &'static [Kind],
    telemetry: telemetry::Telemetry,
    identity: Identity,
    tokens: Verifier,
    policy: PolicySource,
    /// Renewals of Leases.
    soft: soft::Soft,
    /// Who changes quotas and budgets of a namespace waits for those before.
    turns: turns::Turns,
}

/// One request on its way through the handlers.
struct Call<'a> {
    /// What is stored.
    kind: &'static Kind,
    /// What the client asked for: another shape of it, or itself.
    seen_as: &'static Kind,
    path: &'a ResourcePath,
    query: Query,
    headers: &'a HeaderMap,
    /// `None`: anonymous.
    user: Option<&'a User>,
}

impl Call<'_> {
    fn name(&self) -> ApiResult<&str> {
        self.path
            .name
            .as_deref()
            .ok_or_else(ApiError::method_not_allowed)
    }

    fn key(&self) -> ApiResult<Key> {
        Ok(key(self.kind, self.path.namespace.as_deref(), self.name()?))
    }

    /// Checks an object in the client's shape and gives it the stored one; with it come warnings.
    fn take_in(
        &self,
        mut object: Value,
        validation: query::FieldValidation,
    ) -> ApiResult<(Value, Vec<String>)> {
        let warnings = body::check(self.seen_as, &mut object, validation)?;
        let object = match self.seen_as.strategy.view() {
            Some(view) => (view.to_stored)(object),
            None => object,
        };
        Ok((object, warnings))
    }

    fn form(&self) -> ApiResult<negotiate::Form> {
        negotiate::form(
            self.headers
                .get(http::header::ACCEPT)
                .and_then(|value| value.to_str().ok()),
        )
    }
}

/// Where an object stands in the store.
fn key(kind: &Kind, namespace: Option<&str>, name: &str) -> Key {
    Key(format!("{}{name}", prefix(kind, namespace)))
}

/// Where all objects of a kind, or those of one namespace, stand in the store.
fn prefix(kind: &Kind, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{}/{namespace}/", qualified(kind)),
        None => format!("{}/", qualified(kind)),
    }
}

impl Api {
    pub fn new(store: Store, writer: Writer, nodes: Arc<dyn NodeDoor>, identity: Identity) -> Api {
        Api {
            parts: Arc::new(Parts {
                tokens: Verifier::new(store.clone(), identity.signing_key.clone()),
                policy: PolicySource::new(store.clone()),
                store,
                writer,
                nodes,
                kinds: kinds::all(),
                telemetry: telemetry::Telemetry::default(),
                identity,
                soft: soft::Soft::default(),
                turns: turns::Turns::default(),
            }),
        }
    }

    /// Answers one request of an authenticated user (`None`: anonymous).
    pub async fn handle(&self, user: Option<User>, request: Request<Body>) -> Response<Body> {
        let began = std::time::Instant::now();
        let label = telemetry::Label::of(
            self.parts.kinds,
            request.method(),
            &Target::parse(request.uri().path()),
            Query::parse(request.uri().query()).is_ok_and(|query| query.flag("watch")),
        );
        let response = self
            .try_handle(user, request)
            .await
            .unwrap_or_else(ApiError::into_response);
        let code = response.status().as_u16();
        self.parts.telemetry.record(label, code, began.elapsed());
        response
    }

    /// A door for parts of this process, acting as `user`.
    pub fn door(&self, user: User) -> impl Door + use<> {
        OwnDoor {
            api: self.clone(),
            user,
        }
    }

    async fn try_handle(
        &self,
        user: Option<User>,
        request: Request<Body>,
    ) -> ApiResult<Response<Body>> {
        let target = Target::parse(request.uri().path());
        let user = self.impersonate(user, request.headers())?;
        let asked = authorize::attributes(request.method(), &target, request.uri());
        self.authorize(user.as_ref(), &asked)?;
        if let Target::Resource(path) = target {
            return self.resource(user.as_ref(), &path, request).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Err(ApiError::method_not_allowed());
        }
        let kinds = self.parts.kinds;
        let accept = request
            .headers()
            .get(http::header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        let aggregated = matches!(negotiate::form(accept), Ok(negotiate::Form::Discovery));
        let host = request
            .headers()
            .get(http::header::HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let value: Value = match &target {
            Target::Health => return Ok(Response::new(Body::from("ok"))),
            Target::Version => discovery::version(),
            Target::Metrics => {
                let mut response = Response::new(Body::from(self.parts.telemetry.page()));
                let media = http::HeaderValue::from_static(crate::exposition::MEDIA_TYPE);
                response
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, media);
                return Ok(response);
            }
            Target::CoreVersions | Target::Groups if aggregated => {
                let core = matches!(target, Target::CoreVersions);
                let mut response =
                    json_response(200, discovery::aggregated(kinds, core).to_string());
                response.headers_mut().insert(
                    http::header::CONTENT_TYPE,
                    http::HeaderValue::from_static(
                        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                    ),
                );
                return Ok(response);
            }
            Target::CoreVersions => discovery::core_versions(host),
            Target::Groups => discovery::groups(kinds),
            Target::Group(name) => {
                discovery::group(kinds, name).ok_or_else(ApiError::no_resource)?
            }
            Target::Resources { group, version } => {
                discovery::resources(kinds, group, version).ok_or_else(ApiError::no_resource)?
            }
            Target::OpenApiV2
                if accept.is_some_and(|accept| accept.contains(openapi::V2_ACCEPT)) =>
            {
                let mut response = Response::new(Body::from(openapi::V2_PROTOBUF));
                let media = http::HeaderValue::from_static(openapi::V2_MEDIA_TYPE);
                response
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, media);
                return Ok(response);
            }
            Target::OpenApiV2 => openapi::v2(),
            Target::OpenApiIndex => openapi::index(kinds),
            Target::OpenApi(group_version) => {
                openapi::document(kinds, group_version).ok_or_else(ApiError::no_resource)?
            }
            Target::OpenIdConfiguration => {
                tokens::jwt::configuration(&self.parts.identity.address.to_string())
            }
            Target::OpenIdKeys => {
                let keys = tokens::jwt::key_set(&self.parts.identity.signing_key);
                let mut response = json_response(200, keys.to_string());
                response.headers_mut().insert(
                    http::header::CONTENT_TYPE,
                    http::HeaderValue::from_static("application/jwk-set+json"),
                );
                return Ok(response);
            }
            Target::Resource(_) | Target::Unknown => return Err(ApiError::no_resource()),
        };
        Ok(json_response(200, value.to_string()))
    }
}

/// Decodes what this server itself stored.
fn stored_value(json: &[u8]) -> ApiResult<Value> {
    serde_json::from_slice(json).map_err(|error| {
        ApiError::internal(format!("a stored object cannot be read back: {error}"))
    })
}

/// Adds a `Warning` header for each (RFC 9110 has retired the header; Kubernetes clients show it).
fn with_warnings(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    /// More are not shown by any client.
    const WARNINGS_MAX: usize = 32;
    for warning in warnings.iter().take(WARNINGS_MAX) {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    response
}

struct OwnDoor {
    api: Api,
    user: User,
}

impl Door for OwnDoor {
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>> {
        let (api, user) = (self.api.clone(), self.user.clone());
        Box::pin(async move { Ok(api.handle(Some(user), request).await) })
    }
}

/// The list's own metadata.
fn list_metadata(
    revision: crate::store::Revision,
    next: Option<String>,
    remaining: Option<u64>,
) -> Value {
    let mut metadata = json!({"resourceVersion": revision.0.to_string()});
    if let Some(next) = next {
        metadata["continue"] = next.into();
        if let Some(remaining) = remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    metadata
}
