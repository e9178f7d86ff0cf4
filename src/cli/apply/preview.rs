//! What an apply would make of an object, without making it.

use super::{Target, last_applied, three_way, with_last_applied};
use crate::client::{ClientError, PatchType};
use http::Method;
use serde_json::Value;

impl Target<'_> {
    /// The object as it is (null: not there) and as `object` would make it: the server tries, with its defaults, and
    /// keeps nothing.
    pub async fn preview(&self, object: &Value) -> Result<(Value, Value), anyhow::Error> {
        let modified = with_last_applied(object)?;
        let client = &self.session.client;
        let query = format!(
            "dryRun=All&fieldValidation={}&fieldManager=coracle",
            self.parameter
        );
        let path = self.resource.path(Some(self.namespace), Some(self.name));
        let live = match client.send_value(Method::GET, &path, None).await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => Value::Null,
            Err(error) => return Err(error.into()),
        };
        if live.is_null() {
            let path = self.resource.path(Some(self.namespace), None);
            let content = Some(("application/json", &modified));
            let uri = format!("{path}?{query}");
            let after = client.send_value(Method::POST, &uri, content).await;
            return Ok((live, self.or_bare(after, &modified)?));
        }
        let built_in = three_way::is_built_in(&self.resource.group);
        let last = last_applied(&live);
        let patch = three_way::patch(last.as_ref(), &modified, &live, built_in);
        if three_way::is_empty(&patch) {
            return Ok((live.clone(), live));
        }
        let patch_type = if built_in {
            PatchType::StrategicMerge
        } else {
            PatchType::Merge
        };
        let content = Some((patch_type.content_type(), &patch));
        let uri = format!("{path}?{query}");
        let after = client.send_value(Method::PATCH, &uri, content).await?;
        Ok((live, after))
    }

    /// In a namespace that the same manifests would make first, the server cannot try: then the manifest stands for it.
    fn or_bare(
        &self,
        after: Result<Value, ClientError>,
        modified: &Value,
    ) -> Result<Value, ClientError> {
        match after {
            Err(error) if error.is_not_found() && self.resource.namespaced => Ok(modified.clone()),
            other => other,
        }
    }
}
