//! How a remote command ended, as both ends write it on the error stream.

use serde_json::{Value, json};

/// Reason in the Status of a command that ended with another code than 0.
const NON_ZERO: &str = "NonZeroExitCode";

/// How a remote command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and ended with this code.
    Exited(i32),
    /// It could not run, or the way to it broke.
    Failed {
        /// A Kubernetes Status reason: `NotFound`, `BadRequest`, `InternalError` ...
        reason: String,
        /// For the user.
        message: String,
    },
}

impl Outcome {
    /// A failure inside.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Failed { reason: "InternalError".into(), message: message.into() }
    }

    /// The Status object for protocol v4 and later.
    pub fn to_status(&self) -> Value {
        match self {
            Self::Exited(0) => json!({"metadata": {}, "status": "Success"}),
            Self::Exited(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with non-zero exit code: exit status {code}"),
                "reason": NON_ZERO,
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed { reason, message } => json!({
                "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code(reason),
            }),
        }
    }

    /// What older protocols write: nothing if it went well, else a text.
    pub fn to_text(&self) -> String {
        match self {
            Self::Exited(0) => String::new(),
            Self::Exited(code) => {
                format!("error executing command in container: command terminated with exit code {code}")
            }
            Self::Failed { message, .. } => message.clone(),
        }
    }

    /// Bytes for the error stream of a protocol version.
    pub(crate) fn encode(&self, version: u8) -> Vec<u8> {
        if version >= 4 { self.to_status().to_string().into_bytes() } else { self.to_text().into_bytes() }
    }

    /// Reads what came on the error stream of protocol v4 or later.
    pub fn from_status(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::internal("the stream broke before the command ended");
        }
        let Ok(status) = serde_json::from_slice::<Value>(bytes) else {
            return Self::internal(String::from_utf8_lossy(bytes));
        };
        if status["status"] == "Success" {
            return Self::Exited(0);
        }
        let causes = status["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
        let cause = causes.iter().find(|cause| cause["reason"] == "ExitCode");
        let exit = cause.and_then(|cause| cause["message"].as_str()).and_then(|code| code.parse().ok());
        match exit {
            Some(exit) if status["reason"] == NON_ZERO => Self::Exited(exit),
            _ => Self::Failed {
                reason: status["reason"].as_str().unwrap_or("InternalError").to_owned(),
                message: status["message"].as_str().unwrap_or("the command failed").to_owned(),
            },
        }
    }
}

fn code(reason: &str) -> u16 {
    match reason {
        "BadRequest" => 400,
        "Forbidden" => 403,
        "NotFound" => 404,
        "Conflict" => 409,
        "ServiceUnavailable" => 503,
        "Timeout" => 504,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_says_what_was_put_into_it() {
        let failed = Outcome::Failed { reason: "NotFound".into(), message: "no such container".into() };
        for outcome in [Outcome::Exited(0), Outcome::Exited(3), Outcome::Exited(-1), failed] {
            assert_eq!(Outcome::from_status(&outcome.encode(4)), outcome);
        }
    }

    #[test]
    fn nothing_is_no_success() {
        assert!(matches!(Outcome::from_status(b""), Outcome::Failed { .. }));
        assert_eq!(Outcome::from_status(b"oops"), Outcome::internal("oops"));
    }
}
