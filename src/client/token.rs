//! Tokens of service accounts, as the kubelet asks for them.
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>

use super::{Client, ClientError, path};
use http::Method;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use serde_json::{Value, json};

impl Client {
    /// POST to `serviceaccounts/{account}/token`; the answer has `status.token` and `status.expirationTimestamp`.
    pub async fn request_token(
        &self,
        namespace: &str,
        account: &str,
        spec: &TokenRequestSpec,
    ) -> Result<TokenRequest, ClientError> {
        let uri = path::object_path(
            "",
            "v1",
            "serviceaccounts",
            Some(namespace),
            Some(account),
            Some("token"),
        );
        let body = body(spec);
        let content = Some(("application/json", &body));
        let answer = self.send_value(Method::POST, &uri, content).await?;
        // The problem alone: the text around it may hold the token.
        serde_json::from_value(answer).map_err(|cause| ClientError::Decode(cause.to_string()))
    }
}

fn body(spec: &TokenRequestSpec) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec})
}
