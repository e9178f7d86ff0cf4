//! Requests to one endpoint: TLS as configured, tokens as asked for, errors in the user's words.

use super::challenge::{self, Challenge};
use super::login::{self, Realm};
use super::range;
use super::retry;
use super::tls;
use super::tokens::{Key, Tokens};
use crate::image::ImageError;
use crate::image::media;
use crate::image::sources::{Credentials, Endpoint};
use http::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, Response, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most bytes of an error's body read for its words.
const WORDS_BYTES_MAX: usize = 16 * 1024;

/// What is asked of an endpoint.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// Only what the name points to.
    Resolve {
        wanted: &'a str,
    },
    Manifest {
        wanted: &'a str,
    },
    /// From this byte on.
    Blob {
        digest: &'a str,
        from: u64,
    },
}

/// One endpoint during one pull.
pub struct Session {
    pub endpoint: Endpoint,
    /// The registry as the image's name has it.
    registry: String,
    client: Client,
    tokens: Arc<Tokens>,
    /// Longest silence.
    stall: Duration,
    /// Whose turn it is: an index into the endpoint's credentials, nobody after them.
    who: AtomicUsize,
}

impl Session {
    pub fn new(
        endpoint: Endpoint,
        registry: &str,
        tokens: Arc<Tokens>,
        stall: Duration,
    ) -> Result<Session, ImageError> {
        Ok(Session {
            client: tls::client(&endpoint, stall)?,
            endpoint,
            registry: registry.to_owned(),
            tokens,
            stall,
            who: AtomicUsize::new(0),
        })
    }

    /// Asks until there is an answer that a later try would not change. Only successes come back.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Response, ImageError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (error, wait) = match self.ask_as_anybody(ask).await? {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status().as_u16();
                    let header = response.headers().get(RETRY_AFTER);
                    let asked = header.and_then(|value| value.to_str().ok());
                    let wait = match asked {
                        // Longer than a pull should wait: the pod's back-off is the place for it.
                        Some(asked) => retry::retry_after(asked),
                        None => Some(retry::wait(tries, self.stall, rand::random())),
                    };
                    let error = self.refusal(ask, response).await;
                    (error, wait.filter(|_| retry::is_passing(status)))
                }
                Err(why) => {
                    let error = ImageError::Unreachable {
                        registry: self.endpoint.host.clone(),
                        why,
                    };
                    (error, Some(retry::wait(tries, self.stall, rand::random())))
                }
            };
            match wait {
                Some(wait) if tries < retry::REQUEST_TRIES_MAX => {
                    tracing::debug!(%error, ?wait, "registry asked again");
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// As each of those who may ask, until one is let in. The inner error may pass.
    async fn ask_as_anybody(&self, ask: Ask<'_>) -> Result<Result<Response, String>, ImageError> {
        let nobody = self.endpoint.credentials.len();
        let mut first_refusal = None;
        for who in self.who.load(Ordering::Relaxed)..=nobody {
            let response = match self.ask_as(self.endpoint.credentials.get(who), ask).await? {
                Ok(response) => response,
                Err(why) => return Ok(Err(why)),
            };
            // Registries hide what one may not see as 404 too.
            let refused = matches!(response.status().as_u16(), 401 | 403)
                || response.status() == 404 && !matches!(ask, Ask::Blob { .. });
            if !refused {
                self.who.store(who, Ordering::Relaxed);
                return Ok(Ok(response));
            }
            first_refusal.get_or_insert(response);
        }
        match first_refusal {
            Some(response) => Ok(Ok(response)),
            None => Err(self.unauthorized(ask)),
        }
    }

    async fn ask_as(
        &self,
        credentials: Option<&Credentials>,
        ask: Ask<'_>,
    ) -> Result<Result<Response, String>, ImageError> {
        let endpoint = &self.endpoint;
        let key = Key::new(&endpoint.base, &endpoint.repository, credentials);
        let known = self.tokens.get(&key, Instant::now());
        let header =
            known.and_then(|(challenge, token)| login::header(&challenge, credentials, &token));
        let response = match self.send(ask, header).await? {
            Ok(response) if response.status() == 401 => response,
            other => return Ok(other),
        };
        self.tokens.forget(&key);
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let offered: Vec<Challenge> = challenges
            .iter()
            .filter_map(|value| challenge::parse(value.to_str().ok()?))
            .collect();
        let is_bearer = |challenge: &&Challenge| matches!(challenge, Challenge::Bearer { .. });
        let Some(challenge) = offered.iter().find(is_bearer).or(offered.first()) else {
            return Ok(Ok(response));
        };
        let (token, life) = match (challenge, credentials) {
            (Challenge::Basic, Some(Credentials::Login { .. })) => (String::new(), None),
            (Challenge::Basic, _) => return Ok(Ok(response)),
            (Challenge::Bearer { .. }, Some(Credentials::Bearer { token })) => {
                (token.clone(), None)
            }
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                credentials,
            ) => {
                let realm = Realm {
                    address: realm,
                    service: service.as_deref(),
                    scope: scope.as_deref(),
                };
                let token = login::token(&self.client, endpoint, self.stall, realm, credentials);
                match token.await? {
                    Ok(Some(token)) => token,
                    Ok(None) => return Ok(Ok(response)),
                    Err(why) => return Ok(Err(why)),
                }
            }
        };
        // Read to its end, so that the connection serves again.
        let _ = read_small(response, WORDS_BYTES_MAX, self.stall).await;
        let header = login::header(challenge, credentials, &token);
        let answer = self.send(ask, header).await?;
        if let Ok(response) = &answer
            && response.status() != 401
        {
            self.tokens
                .put(key, challenge.clone(), token, life, Instant::now());
        }
        Ok(answer)
    }

    /// One request. Outer error: never to be tried again; inner: the network's.
    async fn send(
        &self,
        ask: Ask<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<Result<Response, String>, ImageError> {
        let Endpoint {
            base, repository, ..
        } = &self.endpoint;
        let (method, address) = match ask {
            Ask::Resolve { wanted } => (
                Method::HEAD,
                format!("{base}/{repository}/manifests/{wanted}"),
            ),
            Ask::Manifest { wanted } => (
                Method::GET,
                format!("{base}/{repository}/manifests/{wanted}"),
            ),
            Ask::Blob { digest, .. } => {
                (Method::GET, format!("{base}/{repository}/blobs/{digest}"))
            }
        };
        let mut url = Url::parse(&address).map_err(|error| ImageError::Registry {
            registry: self.endpoint.host.clone(),
            why: format!("{address:?} is no address: {error}"),
        })?;
        if self.endpoint.is_mirror {
            // Which registry is meant: caches that serve several ask for it, as containerd tells them.
            url.query_pairs_mut().append_pair("ns", &self.registry);
        }
        let mut headers = HeaderMap::new();
        match ask {
            Ask::Blob { from: 0, .. } => {}
            Ask::Blob { from, .. } => {
                if let Ok(range) = HeaderValue::from_str(&range::request(from)) {
                    headers.insert(RANGE, range);
                }
            }
            _ => {
                headers.insert(ACCEPT, HeaderValue::from_static(media::ACCEPT));
            }
        }
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let request = self.client.request(method, url).headers(headers).send();
        match tokio::time::timeout(self.stall, request).await {
            Ok(Ok(response)) => Ok(Ok(response)),
            // Nobody listens, or nothing of this name: a second later that is still so.
            Ok(Err(error)) if error.is_connect() || error.is_timeout() || error.is_redirect() => {
                Err(ImageError::Unreachable {
                    registry: self.endpoint.host.clone(),
                    why: causes(&error.without_url()),
                })
            }
            // The address may be a storage's, signed: not for logs.
            Ok(Err(error)) => Ok(Err(causes(&error.without_url()))),
            Err(_) => Err(ImageError::Unreachable {
                registry: self.endpoint.host.clone(),
                why: silence(self.stall),
            }),
        }
    }

    fn reference(&self, ask: Ask<'_>) -> String {
        let repository = format!("{}/{}", self.endpoint.host, self.endpoint.repository);
        match ask {
            Ask::Resolve { wanted } | Ask::Manifest { wanted } if !wanted.contains(':') => {
                format!("{repository}:{wanted}")
            }
            Ask::Resolve { wanted } | Ask::Manifest { wanted } => format!("{repository}@{wanted}"),
            Ask::Blob { digest, .. } => format!("{repository}@{digest}"),
        }
    }

    fn unauthorized(&self, ask: Ask<'_>) -> ImageError {
        ImageError::Unauthorized {
            registry: self.endpoint.host.clone(),
            reference: self.reference(ask),
        }
    }

    /// An answer that is no success, in the user's words.
    async fn refusal(&self, ask: Ask<'_>, response: Response) -> ImageError {
        let status = response.status();
        match status.as_u16() {
            401 | 403 => return self.unauthorized(ask),
            404 => {
                return ImageError::NotFound {
                    reference: self.reference(ask),
                };
            }
            _ => {}
        }
        let body = read_small(response, WORDS_BYTES_MAX, self.stall).await;
        let words = body.ok().and_then(|body| words(&body)).unwrap_or_default();
        ImageError::Registry {
            registry: self.endpoint.host.clone(),
            why: format!("{status}{words}"),
        }
    }
}

/// `: CODE: message` of distribution's error body.
fn words(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        errors: Vec<Words>,
    }
    #[derive(serde::Deserialize)]
    struct Words {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let first = body.errors.into_iter().next()?;
    let text = format!(": {}: {}", first.code, first.message);
    Some(text.chars().take(300).collect())
}

/// A body of at most `bytes_max`.
pub async fn read_small(
    mut response: Response,
    bytes_max: usize,
    stall: Duration,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        let chunk = tokio::time::timeout(stall, response.chunk())
            .await
            .map_err(|_| silence(stall))?
            .map_err(|error| causes(&error.without_url()))?;
        let Some(chunk) = chunk else {
            return Ok(bytes);
        };
        if bytes.len() + chunk.len() > bytes_max {
            return Err(format!("an answer is larger than {bytes_max} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
}

pub fn silence(stall: Duration) -> String {
    format!("no byte came for {} s", stall.as_secs_f32())
}

/// An error with everything below it: reqwest's own text says little.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
