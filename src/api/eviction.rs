//! POST to `pods/{name}/eviction`: a deletion that asks the pod's disruption budget first.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>

use super::status::{ApiError, ApiResult};
use super::{Api, Call};
use axum::body::Body;
use bytes::Bytes;
use http::Response;

impl Api {
    pub(super) fn evict(&self, _call: &Call<'_>, _body: Bytes) -> ApiResult<Response<Body>> {
        Err(ApiError::method_not_allowed())
    }
}
