//! Logging in: tokens from a token server, and the header that carries them or a password.

use super::challenge::Challenge;
use super::retry;
use super::session::{causes, read_small, silence};
use crate::image::ImageError;
use crate::image::sources::{Credentials, Endpoint};
use http::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use std::time::Duration;

/// Most bytes of a token's answer; tokens have a few KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A token with its life, where that is said.
pub type Token = (String, Option<Duration>);

/// Where a challenge sends for a token.
pub struct Realm<'a> {
    pub address: &'a str,
    pub service: Option<&'a str>,
    pub scope: Option<&'a str>,
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// A token for `credentials` (distribution's token specification, and its OAuth2 form for refresh tokens); `None` where
/// they are refused. Outer error: never to be tried again; inner: the network's.
pub async fn token(
    client: &Client,
    endpoint: &Endpoint,
    stall: Duration,
    realm: Realm<'_>,
    credentials: Option<&Credentials>,
) -> Result<Result<Option<Token>, String>, ImageError> {
    let broken = |why: String| ImageError::Registry {
        registry: endpoint.host.clone(),
        why,
    };
    let address = realm.address;
    let mut url = Url::parse(address)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| broken(format!("it sends to {address:?} for a token")))?;
    // RFC 6750, 5.3: never a secret over an open line, where the registry itself uses a closed one.
    if credentials.is_some() && endpoint.base.starts_with("https:") && url.scheme() == "http" {
        return Err(broken(format!(
            "it wants credentials sent to {address} without encryption; they were not sent"
        )));
    }
    let own_scope = format!("repository:{}:pull", endpoint.repository);
    let scope = realm.scope.unwrap_or(&own_scope);
    let mut fields = vec![("scope", scope), ("client_id", "coracle")];
    fields.extend(realm.service.map(|service| ("service", service)));
    let request = if let Some(Credentials::Identity { token }) = credentials {
        fields.extend([("grant_type", "refresh_token"), ("refresh_token", token)]);
        let body: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&fields)
            .finish();
        client
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    } else {
        url.query_pairs_mut().extend_pairs(&fields);
        match credentials {
            Some(Credentials::Login { username, password }) => {
                url.query_pairs_mut().append_pair("account", username);
                client.get(url).basic_auth(username, Some(password))
            }
            _ => client.get(url),
        }
    };
    let response = match tokio::time::timeout(stall, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Ok(Err(causes(&error.without_url()))),
        Err(_) => return Ok(Err(silence(stall))),
    };
    let status = response.status();
    if !status.is_success() {
        return match status.as_u16() {
            400 | 401 | 403 | 404 => Ok(Ok(None)),
            code if retry::is_passing(code) => {
                Ok(Err(format!("its token server answers {status}")))
            }
            _ => Err(broken(format!("its token server answers {status}"))),
        };
    }
    let bytes = match read_small(response, ANSWER_BYTES_MAX, stall).await {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Err(why)),
    };
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|_| broken("its token server's answer cannot be read".to_owned()))?;
    let text = answer.token.or(answer.access_token).unwrap_or_default();
    if text.is_empty() {
        return Err(broken("its token server gives an empty token".to_owned()));
    }
    Ok(Ok(Some((text, answer.expires_in.map(Duration::from_secs)))))
}

/// The `Authorization` header that answers a challenge.
pub fn header(
    challenge: &Challenge,
    credentials: Option<&Credentials>,
    token: &str,
) -> Option<HeaderValue> {
    use base64::Engine as _;
    let text = match (challenge, credentials) {
        (Challenge::Basic, Some(Credentials::Login { username, password })) => {
            let pair = format!("{username}:{password}");
            let coded = base64::engine::general_purpose::STANDARD.encode(pair);
            format!("Basic {coded}")
        }
        (Challenge::Basic, _) => return None,
        (Challenge::Bearer { .. }, _) => format!("Bearer {token}"),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
