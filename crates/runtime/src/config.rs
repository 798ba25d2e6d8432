//! Reads configuration: TOML files for services, a few environment variables for telemetry.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration file is refused. Every variant prints on one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is absent or unreadable.
    #[error("can't read configuration {path}: {reason}")]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is no valid configuration: syntax, unknown key, wrong type.
    #[error("configuration {path} is not valid: {reason}")]
    Invalid {
        /// The file that was read.
        path: PathBuf,
        /// Key and reason, in one line.
        reason: String,
    },
}

/// Reads and checks one TOML file; unknown keys are refused by `T`'s `deny_unknown_fields`.
///
/// # Errors
/// If the file can't be read or does not describe a `T`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError::Read { path: path.to_owned(), reason: e.to_string() })?;
    toml::from_str(&text).map_err(|e| ConfigError::Invalid { path: path.to_owned(), reason: one_line(&text, &e) })
}

fn one_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    match error.span() {
        Some(span) => {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => message,
    }
}

/// How a process reports on itself. From the environment, because it must work before any file is read.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Which spans and events are kept, in `tracing_subscriber`'s syntax. `RUST_LOG`; default `info`.
    pub filter: String,
    /// Lines as JSON objects instead of text. `HAKO_LOG_FORMAT=json`.
    pub json: bool,
    /// OTLP/gRPC endpoint that traces are exported to; none: not exported. `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp_endpoint: Option<String>,
}

impl Telemetry {
    /// Reads `RUST_LOG`, `HAKO_LOG_FORMAT` and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn from_env() -> Self {
        let get = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        Self {
            filter: get("RUST_LOG").unwrap_or_else(|| "info".into()),
            json: get("HAKO_LOG_FORMAT").is_some_and(|v| v == "json"),
            otlp_endpoint: get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        port: u16,
    }

    #[test]
    fn unknown_key_is_refused_on_one_line() {
        let path = std::env::temp_dir().join(format!("hako-config-{}.toml", std::process::id()));
        std::fs::write(&path, "port = 1\nprot = 2\n").unwrap();
        let error = load::<Sample>(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("line 2") && error.contains("prot") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn absent_file_is_named() {
        let error = load::<Sample>(Path::new("/nonexistent/x.toml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/x.toml"), "{error}");
    }
}
