//! Who asks: the certificate of the connection, or a bearer token.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/>

use super::status::{ApiError, ApiResult};
use super::{AUTHENTICATED, Api, User, own_audiences};
use axum::body::Body;
use http::{Request, header};
use jiff::Timestamp;

impl Api {
    /// The user behind `request`: whom the connection's certificate names, else whom its token does; `None`: nobody
    /// said. A token that is not good is refused, even where anybody may ask. The token goes no further than this.
    pub fn authenticate(
        &self,
        certificate: Option<User>,
        request: &mut Request<Body>,
    ) -> ApiResult<Option<User>> {
        let header = request.headers_mut().remove(header::AUTHORIZATION);
        if certificate.is_some() {
            return Ok(certificate);
        }
        let Some(header) = header else {
            return Ok(None);
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.trim().split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| !token.is_empty())
            .ok_or_else(ApiError::unauthorized)?;
        let now = Timestamp::now().as_second();
        match self.parts.tokens.verify(token, &own_audiences(), now) {
            Ok((claims, _)) => {
                if claims.warn_after.is_some_and(|at| at < now) {
                    tracing::debug!(user = claims.subject(), "a token is used past its renewal");
                }
                Ok(Some(claims.user()))
            }
            Err(refusal) => {
                tracing::debug!("a bearer token is refused: {refusal}");
                Err(ApiError::unauthorized())
            }
        }
    }
}

/// A user as `SubjectAccessReview` and its kin write it: everybody but the anonymous is authenticated.
pub(super) fn recognised(name: String, groups: impl IntoIterator<Item = String>) -> User {
    User {
        name,
        groups: groups
            .into_iter()
            .chain([AUTHENTICATED.to_owned()])
            .collect(),
        ..User::default()
    }
}
