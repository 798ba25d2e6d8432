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
    #[error("{message} ({code}, HTTP {status}, request {request_id})")]
    Refused { status: u16, code: String, message: String, request_id: String },
    /// The service cannot be reached.
    #[error(
        "cannot reach {endpoint}: {cause}\n  is the cloud running? `cargo xtask up` starts it; HAKO_ENDPOINT and HAKO_CA say where it is"
    )]
    Unreachable { endpoint: String, cause: String },
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        if matches!(self, Self::Misused(_)) { MISUSED } else { 1 }
    }

    /// True if the same request may well succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || self.is_refused_for_now()
    }

    /// True if the service answered that it can't at the moment.
    pub(crate) fn is_refused_for_now(&self) -> bool {
        matches!(self, Self::Refused { status: 429 | 502..=504, .. })
    }

    /// For `map_err`: what could not be done with a file or the system.
    pub(crate) fn io<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed(format!("cannot {what}: {error}"))
    }
}
