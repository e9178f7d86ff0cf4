//! Query parameters of a request, checked once.

use super::status::{ApiError, ApiResult};
use crate::store::Revision;
use std::collections::HashMap;

/// More parameters than any Kubernetes client sends.
const PARAMETERS_MAX: usize = 64;

/// What happens with fields the kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    Ignore,
    /// A `Warning` header for each.
    #[default]
    Warn,
    Strict,
}

#[derive(Debug, Clone, Default)]
pub struct Query {
    parameters: HashMap<String, String>,
}

impl Query {
    pub fn parse(text: Option<&str>) -> ApiResult<Query> {
        let mut parameters = HashMap::new();
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            if parameters.len() >= PARAMETERS_MAX {
                return Err(ApiError::bad_request(format!(
                    "more than {PARAMETERS_MAX} query parameters"
                )));
            }
            parameters.insert(name.into_owned(), value.into_owned());
        }
        Ok(Query { parameters })
    }

    /// The parameter's text; empty counts as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub fn number<N: std::str::FromStr>(&self, name: &str) -> ApiResult<Option<N>> {
        self.text(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "query parameter {name}: {value:?} is no number it can be"
                    ))
                })
            })
            .transpose()
    }

    /// Anything but `false` and `0` is true, the bare name too (upstream's `Convert_Slice_string_To_bool`).
    pub fn flag(&self, name: &str) -> bool {
        self.given(name) == Some(true)
    }

    /// As [`Query::flag`]; `None` where the parameter is not there.
    pub fn given(&self, name: &str) -> Option<bool> {
        let value = self.parameters.get(name)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    pub fn revision(&self) -> ApiResult<Option<Revision>> {
        let Some(text) = self.text("resourceVersion") else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            ApiError::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: must be a number"
            ))
        })?;
        Ok(Some(super::soft::stored_revision(number)))
    }

    pub fn field_validation(&self) -> ApiResult<FieldValidation> {
        Ok(match self.text("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        })
    }

    /// True for `dryRun=All`: everything but the write happens.
    pub fn dry_run(&self) -> ApiResult<bool> {
        match self.text("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}
