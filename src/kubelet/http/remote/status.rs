//! The `Status` at the end of a session, in upstream's words.

use serde_json::{Value, json};

pub fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

/// A command that ended with another code than 0.
pub fn exit(code: i32) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

pub fn failure(message: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {message}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_a_cause() {
        assert_eq!(
            exit(3)["details"]["causes"][0],
            json!({"reason": "ExitCode", "message": "3"})
        );
    }
}
