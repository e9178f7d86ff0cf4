//! GET and LIST.

use super::negotiate::Form;
use super::status::{ApiError, ApiResult, json_response};
use super::{Api, Call, form, list_metadata, prefix, stored_value};
use crate::object::selector::{FieldSelector, LabelSelector};
use crate::store::{Key, ListOptions, Page, Revision, Store};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A continue token: where the next page begins, and the revision all pages show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Continue {
    rv: u64,
    start: String,
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(token: &str, prefix: &str) -> ApiResult<Continue> {
        let token: Option<Continue> = URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token
            .filter(|token| token.start.starts_with(prefix))
            .ok_or_else(|| {
                ApiError::bad_request(
                    "continue key is not valid: take it from the list before, unchanged",
                )
            })
    }
}

/// Label and field selectors of a request.
pub(super) struct Selectors {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selectors {
    pub(super) fn of(call: &Call<'_>) -> ApiResult<Selectors> {
        let labels = LabelSelector::parse(call.query.text("labelSelector").unwrap_or_default());
        let fields = FieldSelector::parse(
            call.query.text("fieldSelector").unwrap_or_default(),
            call.seen_as.selectable,
        );
        Ok(Selectors {
            labels: labels.map_err(ApiError::bad_request)?,
            fields: fields.map_err(ApiError::bad_request)?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether they choose the stored object.
    pub(super) fn choose(&self, json: &Bytes) -> ApiResult<bool> {
        let may = std::str::from_utf8(json).is_ok_and(|text| self.fields.may_match(text));
        Ok(may && self.matches(&stored_value(json)?))
    }

    fn matches(&self, object: &Value) -> bool {
        self.labels.matches_object(object) && self.fields.matches_object(object)
    }
}

impl Api {
    pub(super) fn get(&self, call: &Call<'_>) -> ApiResult<Response<Body>> {
        let stored = self.parts.store.get(&call.key()?)?.ok_or_else(|| {
            ApiError::not_found(call.kind, call.path.name.as_deref().unwrap_or_default())
        })?;
        let stored = self.parts.soft.shown(call.kind, stored);
        form::object(call.seen_as, call.form()?, &call.query, 200, stored.json)
    }

    pub(super) fn list(&self, call: &Call<'_>) -> ApiResult<Response<Body>> {
        let selectors = Selectors::of(call)?;
        let prefix = prefix(call.kind, call.path.namespace.as_deref());
        let limit = call
            .query
            .number::<usize>("limit")?
            .filter(|&limit| limit > 0);
        let options = match call.query.text("continue") {
            Some(token) => {
                // The token holds the revision of all pages; "0" is what older clients send along.
                if call.query.revision()?.is_some_and(|asked| asked.0 > 0) {
                    return Err(ApiError::bad_request(
                        "specifying resource version is not allowed when using continue",
                    ));
                }
                let token = Continue::decode(token, &prefix)?;
                ListOptions {
                    prefix,
                    at: Some(Revision(token.rv)),
                    after: Some(Key(token.start)),
                    limit,
                }
            }
            None => ListOptions {
                at: revision_asked(call, &self.parts.store, limit.is_some())?,
                prefix,
                after: None,
                limit,
            },
        };
        let continued = options.after.is_some();
        let page = collect(&self.parts.store, options, &selectors).map_err(|error| {
            if continued && error.code == 410 {
                return ApiError::expired(
                    "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
                );
            }
            error
        })?;
        let next = page.more.then(|| page.items.last()).flatten().map(|last| {
            Continue {
                rv: page.revision.0,
                start: last.key.0.clone(),
            }
            .encode()
        });
        let remaining = page.remaining.filter(|_| selectors.is_empty());
        let metadata = list_metadata(page.revision, next, remaining);
        let soft = &self.parts.soft;
        let items = page.items.into_iter();
        let items = items.map(|item| soft.shown(call.kind, item).json);
        match call.form()? {
            Form::Json | Form::Discovery => form::list(call.seen_as, metadata, items.collect()),
            Form::Table => {
                let objects = items
                    .map(|json| stored_value(&json))
                    .collect::<ApiResult<Vec<_>>>()?;
                let include = form::include_object(&call.query)?;
                Ok(json_response(
                    200,
                    form::table(call.seen_as, &objects, metadata, include, true).to_string(),
                ))
            }
            Form::Metadata => {
                let objects = items
                    .map(|json| Ok(form::partial(&stored_value(&json)?)))
                    .collect::<ApiResult<Vec<_>>>()?;
                let list = json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata, "items": objects,
                });
                Ok(json_response(200, list.to_string()))
            }
        }
    }
}

/// The revision a first page must show: `Exact` asks for one, and so does a limit where nothing says otherwise;
/// anything else is served by the newest.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>
fn revision_asked(call: &Call<'_>, store: &Store, limited: bool) -> ApiResult<Option<Revision>> {
    let revision = call.query.revision()?;
    match (call.query.text("resourceVersionMatch"), revision) {
        (Some("Exact"), Some(revision)) if revision.0 > 0 => Ok(Some(revision)),
        (None, Some(revision)) if revision.0 > 0 && limited => Ok(Some(revision)),
        (Some("Exact" | "NotOlderThan"), None) => Err(ApiError::bad_request(
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        (None | Some("NotOlderThan"), Some(asked)) => {
            let current = store.revision();
            if asked > current {
                return Err(crate::store::StoreError::Future { asked, current }.into());
            }
            Ok(None)
        }
        (None, None) => Ok(None),
        (Some(other), _) => Err(ApiError::bad_request(format!(
            "resourceVersionMatch: {other:?} does not fit this resourceVersion: supported values: \"Exact\", \"NotOlderThan\""
        ))),
    }
}

/// Rows read from the store at a time while a selector picks among them.
const SCAN_ROWS: usize = 500;

/// A page of what the selectors choose. With selectors the store is scanned in bounded steps until the page is full.
pub(super) fn collect(
    store: &Store,
    options: ListOptions,
    selectors: &Selectors,
) -> ApiResult<Page> {
    if selectors.is_empty() {
        return Ok(store.list(&options)?);
    }
    let limit = options.limit.unwrap_or(usize::MAX);
    let mut step = ListOptions {
        limit: Some(SCAN_ROWS),
        ..options
    };
    let mut found = Page {
        items: Vec::new(),
        revision: Revision(0),
        more: false,
        remaining: None,
    };
    loop {
        let page = store.list(&step)?;
        found.revision = page.revision;
        let last = page.items.last().map(|item| item.key.clone());
        for item in page.items {
            if !selectors.choose(&item.json)? {
                continue;
            }
            if found.items.len() == limit {
                found.more = true;
                return Ok(found);
            }
            found.items.push(item);
        }
        if !page.more {
            return Ok(found);
        }
        step.at = Some(found.revision);
        step.after = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_come_back_and_do_not_leave_their_collection() {
        let token = Continue {
            rv: 7,
            start: "pods/default/web".into(),
        };
        assert_eq!(
            Continue::decode(&token.encode(), "pods/default/").ok(),
            Some(token.clone())
        );
        assert!(Continue::decode(&token.encode(), "secrets/").is_err());
        assert!(Continue::decode("!", "pods/").is_err());
    }
}
