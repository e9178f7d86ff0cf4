//! The demo's API server, as its tour speaks to it.

use super::objects::NAMESPACE;
use super::say;
use crate::cli::apply::Target;
use crate::cli::connect::Session;
use crate::cli::discovery::{Discovery, Resource};
use crate::client::Client;
use crate::client::https::HttpsDoor;
use crate::client::kubeconfig::{self, Sources};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

pub struct Server {
    pub session: Session,
    discovery: Discovery,
}

impl Server {
    pub async fn connect(kubeconfig: &Path) -> Result<Server, anyhow::Error> {
        let sources = Sources {
            explicit: Some(kubeconfig.to_owned()),
            ..Sources::default()
        };
        let endpoint = kubeconfig::load(&sources, None)?;
        let session = Session {
            client: Client::new(HttpsDoor::new(&endpoint)?),
            namespace: NAMESPACE.to_owned(),
            namespace_explicit: false,
        };
        let discovery = Discovery::load(&session.client).await?;
        Ok(Server { session, discovery })
    }

    pub fn resource(&self, object: &Value) -> Result<&Resource, anyhow::Error> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let found = self.discovery.by_kind(version, kind);
        found.with_context(|| format!("the server has no {kind} in {version}"))
    }

    /// As `coracle apply` does, and says so.
    pub async fn apply(&self, object: &Value) -> Result<(), anyhow::Error> {
        let resource = self.resource(object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let target = Target {
            session: &self.session,
            resource,
            namespace: NAMESPACE,
            name,
            parameter: "Strict",
        };
        let applied = target.apply(object).await.context(name.to_owned())?;
        say(&format!("{}/{name} {applied}", resource.label()));
        Ok(())
    }
}
