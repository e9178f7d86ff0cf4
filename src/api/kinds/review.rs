//! Kinds that are asked and answered, and never stored: access and token reviews, token requests.

use super::check::check;
use super::{Kind, Strategy};
use k8s_openapi::api::authentication::v1 as authentication;

pub struct Review;

impl Strategy for Review {}

impl Kind {
    /// Whether its objects are answered instead of stored.
    pub fn is_review(&self) -> bool {
        matches!(self.group, "authentication.k8s.io" | "authorization.k8s.io")
    }

    /// Core's `bindings`: a binding is done, not kept.
    pub fn is_bindings(&self) -> bool {
        self.group.is_empty() && self.plural == "bindings"
    }
}

/// `TokenRequest`: no resource of its own, but the body of one part of a service account.
static TOKEN_REQUEST: Kind = Kind::new(
    "authentication.k8s.io",
    "TokenRequest",
    ["serviceaccounts", ""],
    &Review,
    check::<authentication::TokenRequest>,
);

pub fn token_request() -> &'static Kind {
    &TOKEN_REQUEST
}
