//! Which form of an object the client wants, by its `Accept` header.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources>

use super::status::{ApiError, ApiResult};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The object as it is.
    Json,
    Table,
    /// `PartialObjectMetadata` or its list.
    Metadata,
    /// Aggregated discovery (`g=apidiscovery.k8s.io;v=v2`).
    Discovery,
}

/// The first form in the header that this server has; 406 where there is none.
pub fn form(accept: Option<&str>) -> ApiResult<Form> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Ok(Form::Json);
    };
    for choice in accept.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "application/json" | "application/*" | "*/*") {
            continue;
        }
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let parameter = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        match (parameter("as"), parameter("g"), parameter("v")) {
            (None, ..) => return Ok(Form::Json),
            (Some("Table"), _, Some("v1") | None) => return Ok(Form::Table),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), _, Some("v1") | None) => {
                return Ok(Form::Metadata);
            }
            (Some("APIGroupDiscoveryList"), _, Some("v2")) => return Ok(Form::Discovery),
            _ => {}
        }
    }
    Err(ApiError::not_acceptable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_fits_is_taken() {
        for (accept, expected) in [
            (None, Some(Form::Json)),
            (Some("*/*"), Some(Form::Json)),
            (Some("application/json"), Some(Form::Json)),
            (
                Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
                Some(Form::Table),
            ),
            (
                Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
                Some(Form::Json),
            ),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                Some(Form::Metadata),
            ),
            (
                Some(
                    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                ),
                Some(Form::Discovery),
            ),
            (
                Some("application/vnd.kubernetes.protobuf,application/json"),
                Some(Form::Json),
            ),
            (Some("application/vnd.kubernetes.protobuf"), None),
        ] {
            assert_eq!(form(accept).ok(), expected, "{accept:?}");
        }
    }
}
