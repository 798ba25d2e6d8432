//! What went wrong, in words that say what to do.

/// Exit code of a misused command line. Source: `EX_USAGE` of sysexits(3).
pub(crate) const MISUSED: u8 = 64;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Misused(String),
    /// The service refused.
    #[error("{message} ({code}, HTTP {status}, request {request_id}){}", remedy(*status, code))]
    Refused { status: u16, code: String, message: String, request_id: String },
    /// The service cannot be reached.
    #[error(
        "cannot reach {endpoint}: {cause}\n  is the cloud running? `cargo xtask up` starts it; HAKO_ENDPOINT and HAKO_CA say where it is"
    )]
    Unreachable { endpoint: String, cause: String },
    /// Something else.
    #[error("{0}")]
    Failed(String),
    /// Nothing of ours: what was run ended with this code.
    #[error("exit code {0}")]
    Exit(u8),
}

impl Error {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Misused(_) => MISUSED,
            Self::Exit(code) => *code,
            Self::Refused { .. } | Self::Unreachable { .. } | Self::Failed(_) => 1,
        }
    }

    /// True if the same request may well succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || self.is_refused_for_now()
    }

    /// True if the service answered that it can't at the moment.
    pub(crate) fn is_refused_for_now(&self) -> bool {
        matches!(self, Self::Refused { status: 429 | 502..=504, .. })
    }

    /// True if there is no such thing, or it is not the caller's to see.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// For `map_err`: what could not be done with a file or the system.
    pub(crate) fn io<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed(format!("cannot {what}: {error}"))
    }
}

/// What to do about a refusal, where the service's own words can't say it: on a line of its own.
fn remedy(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (401, _) => {
            "\n  HAKO_PROFILE or --profile picks another profile; `hako login` logs in; this machine's clock must be right"
        }
        (404, "NotAuthorizedOrNotFound") => {
            "\n  it is not there, or a policy must allow it: `hako iam policy list`; --compartment names another compartment"
        }
        (_, "LimitExceeded" | "QuotaExceeded") => {
            "\n  `hako limit list` shows what may be used, `hako quota list` what lowers it"
        }
        (409 | 412, "NoEtagMatch") => "\n  somebody else changed it meanwhile: look at it again",
        (409, "IncorrectState" | "Conflict") => "\n  `hako work-request list` shows what goes on",
        (429, _) => "\n  too many requests at a time: try again in a moment",
        (500.., _) => "\n  try again; if it stays so, the operator finds why by the request id",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = |status, code: &str| {
            let error = Error::Refused { status, code: code.into(), message: "no".into(), request_id: "r".into() };
            error.to_string()
        };
        assert_eq!(refused(400, "InvalidParameter"), "no (InvalidParameter, HTTP 400, request r)");
        assert!(refused(404, "NotAuthorizedOrNotFound").contains("hako iam policy list"));
        assert!(refused(400, "LimitExceeded").contains("hako limit list"));
        assert!(refused(401, "NotAuthenticated").contains("hako login"));
    }
}
