//! Errors as kubectl prints them.

use crate::client::ClientError;
use std::process::ExitCode;

/// Of a command that worked on several objects, some of which it may have failed for.
pub fn exit_code(failed: bool) -> ExitCode {
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints `error` on standard error.
pub fn print(error: &anyhow::Error) {
    eprintln!("{}", text(error));
}

/// `Error from server (NotFound): pods "x" not found`, or `error: …` for what went wrong here. Context
/// added on the way stands before the cause.
pub fn text(error: &anyhow::Error) -> String {
    let client_error = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<ClientError>());
    match client_error {
        Some(ClientError::Status { status, .. }) => match status.reason.as_deref() {
            Some(reason) if !reason.is_empty() => {
                format!("Error from server ({reason}): {error:#}")
            }
            _ => format!("Error from server: {error:#}"),
        },
        Some(ClientError::Refused { .. }) => {
            client_error.map(ToString::to_string).unwrap_or_default()
        }
        _ => format!("error: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

    fn status(reason: Option<&str>) -> ClientError {
        ClientError::Status {
            code: 404,
            status: Box::new(Status {
                message: Some("pods \"x\" not found".to_owned()),
                reason: reason.map(str::to_owned),
                ..Status::default()
            }),
        }
    }

    #[test]
    fn errors_read_as_kubectls() {
        let wrapped = Err::<(), _>(status(Some("NotFound")))
            .context("error when creating \"a.yaml\"")
            .err();
        for (error, expected) in [
            (
                Some(anyhow::Error::from(status(Some("NotFound")))),
                "Error from server (NotFound): pods \"x\" not found",
            ),
            (
                Some(status(None).into()),
                "Error from server: pods \"x\" not found",
            ),
            (
                wrapped,
                "Error from server (NotFound): error when creating \"a.yaml\": pods \"x\" not found",
            ),
            (Some(anyhow::anyhow!("no such file")), "error: no such file"),
            (
                Some(
                    ClientError::Refused {
                        server: "a:1".to_owned(),
                    }
                    .into(),
                ),
                "The connection to the server a:1 was refused - did you specify the right host or port?",
            ),
        ] {
            assert_eq!(
                error.map(|error| text(&error)).unwrap_or_default(),
                expected
            );
        }
    }
}
