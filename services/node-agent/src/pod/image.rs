//! Images: whether to pull, with which credentials, and what a failure is called.

use std::collections::HashMap;

use base64::Engine;
use bytes::Bytes;
use k8s_openapi::api::core::v1::Container;
use serde::Deserialize;

use crate::cri::{Cri, v1};
use crate::placement::Inputs;
use crate::pod::pulls::Turn;

/// Why a container's image is not there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ImageError {
    /// `ErrImagePull`, `InvalidImageName`, `ErrImageNeverPull`, `ImageInspectError`.
    pub reason: &'static str,
    /// For the pod's owner.
    pub message: String,
}

/// When a container's image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Before each start.
    Always,
    /// Unless it is here.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// The container's policy, by Kubernetes' default: Always for `:latest` or no tag.
pub fn pull_policy(container: &Container) -> PullPolicy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ => {
            let (_, tag, digest) = split(container.image.as_deref().unwrap_or_default());
            let latest = digest.is_none() && tag.is_none_or(|t| t == "latest");
            if latest { PullPolicy::Always } else { PullPolicy::IfNotPresent }
        }
    }
}

/// Repository, tag and digest of a reference as written.
fn split(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = image.split_once('@').map_or((image, None), |(r, d)| (r, Some(d)));
    match rest.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag), digest),
        _ => (rest, None, digest),
    }
}

/// The reference in full: registry, repository, and tag or digest.
///
/// # Errors
/// If it is no reference.
pub fn normalize(image: &str) -> Result<String, ImageError> {
    let invalid = || ImageError {
        reason: "InvalidImageName",
        message: format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: invalid reference format"
        ),
    };
    let (repository, tag, digest) = split(image);
    let (first, rest) = repository.split_once('/').unwrap_or(("", repository));
    let is_registry = first.contains('.') || first.contains(':') || first == "localhost";
    let (registry, path) = if is_registry { (first, rest) } else { ("docker.io", repository) };
    let path = if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
    let part = |p: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        p.bytes().all(inner) && edge(p.as_bytes().first()) && edge(p.as_bytes().last())
    };
    let registry_fine = registry.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'));
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let tag_fine =
        tag.is_none_or(|t| !t.is_empty() && t.len() <= 128 && t.bytes().all(word) && !t.starts_with(['.', '-']));
    let digest_fine = digest.is_none_or(|d| {
        d.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    if path.is_empty() || !path.split('/').all(part) || !registry_fine || !tag_fine || !digest_fine {
        return Err(invalid());
    }
    let suffix = match (digest, tag) {
        (Some(digest), Some(tag)) => format!(":{tag}@{digest}"),
        (Some(digest), None) => format!("@{digest}"),
        (None, tag) => format!(":{}", tag.unwrap_or("latest")),
    };
    Ok(format!("{registry}/{path}{suffix}"))
}

#[derive(Deserialize, Default)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, DockerAuth>,
}

#[derive(Deserialize, Default, Clone)]
struct DockerAuth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

/// Credentials for an image, those with the longest matching prefix first.
pub fn credentials(inputs: &Inputs, reference: &str) -> Vec<v1::AuthConfig> {
    let mut found: Vec<(usize, v1::AuthConfig)> = Vec::new();
    for (config, old) in &inputs.pull_secrets {
        for (server, auth) in parse_config(config, *old) {
            let bare = server.trim_start_matches("https://").trim_start_matches("http://");
            let bare = bare.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
            let bare = if bare == "index.docker.io" || bare == "registry-1.docker.io" { "docker.io" } else { bare };
            let rest = reference.strip_prefix(bare);
            if !bare.is_empty() && rest.is_some_and(|r| r.is_empty() || r.starts_with(['/', ':', '@'])) {
                found.push((bare.len(), auth_config(&auth)));
            }
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, auth)| auth).collect()
}

fn parse_config(config: &Bytes, old: bool) -> HashMap<String, DockerAuth> {
    if old {
        serde_json::from_slice(config).unwrap_or_default()
    } else {
        serde_json::from_slice::<DockerConfig>(config).unwrap_or_default().auths
    }
}

fn auth_config(auth: &DockerAuth) -> v1::AuthConfig {
    let (mut username, mut password) = (auth.username.clone(), auth.password.clone());
    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.auth.trim()).ok();
    if username.is_empty()
        && let Some(text) = decoded.and_then(|d| String::from_utf8(d).ok())
        && let Some((u, p)) = text.split_once(':')
    {
        (username, password) = (u.to_owned(), p.to_owned());
    }
    v1::AuthConfig { username, password, identity_token: auth.identity_token.clone(), ..Default::default() }
}

/// What an image needed.
pub struct Present {
    /// As containerd knows it.
    pub image: v1::Image,
    /// For the event `Pulled`.
    pub message: String,
}

/// Makes sure that the container's image is here. `pulling` is called before a pull, which then waits for its `turn`:
/// an image that is here waits for nobody.
///
/// # Errors
/// If it is not, and cannot or must not be pulled.
pub async fn ensure(
    cri: &Cri,
    inputs: &Inputs,
    container: &Container,
    turn: impl Future<Output = Turn>,
    pulling: impl FnOnce(),
) -> Result<Present, ImageError> {
    let name = container.image.as_deref().unwrap_or_default();
    let reference = normalize(name)?;
    let inspect = |status: tonic::Status| ImageError {
        reason: "ImageInspectError",
        message: format!("Failed to inspect image {name:?}: {}", status.message()),
    };
    let policy = pull_policy(container);
    if policy != PullPolicy::Always
        && let Some(image) = cri.image_status(&reference).await.map_err(inspect)?
    {
        let message = format!("Container image {name:?} already present on machine");
        return Ok(Present { image, message });
    }
    if policy == PullPolicy::Never {
        let message = format!("Container image {name:?} is not present with pull policy of Never");
        return Err(ImageError { reason: "ErrImageNeverPull", message });
    }
    pulling();
    let waiting = std::time::Instant::now();
    let _turn = turn.await;
    let begun = std::time::Instant::now();
    pull(cri, inputs, &reference).await.map_err(|status| ImageError {
        reason: "ErrImagePull",
        message: format!("failed to pull image {name:?}: {}", status.message()),
    })?;
    let image = cri.image_status(&reference).await.map_err(inspect)?.ok_or_else(|| ImageError {
        reason: "ErrImagePull",
        message: format!("image {name:?} was pulled and is gone"),
    })?;
    let (took, all) = (begun.elapsed().as_millis(), waiting.elapsed().as_millis());
    let size = image.size;
    let message = format!(
        "Successfully pulled image {name:?} in {took}ms ({all}ms including waiting). Image size: {size} bytes."
    );
    Ok(Present { image, message })
}

async fn pull(cri: &Cri, inputs: &Inputs, reference: &str) -> Result<String, tonic::Status> {
    let mut last = None;
    for auth in credentials(inputs, reference) {
        match cri.pull_image(reference, Some(auth)).await {
            Ok(id) => return Ok(id),
            Err(status) => last = Some(status),
        }
    }
    match last {
        Some(status) => Err(status),
        None => cri.pull_image(reference, None).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, expected: Option<&str>) {
        assert_eq!(normalize(image).ok().as_deref(), expected);
    }

    #[test]
    fn references_are_completed_or_refused() {
        check("busybox", Some("docker.io/library/busybox:latest"));
        check("user/app:1", Some("docker.io/user/app:1"));
        check("localhost:5000/demo/web:1", Some("localhost:5000/demo/web:1"));
        check("10.0.0.1:5000/x", Some("10.0.0.1:5000/x:latest"));
        check("Bad Name", None);
        check("UPPER", None);
        check("", None);
        check("x:", None);
        check("x@sha256:12", None);
    }

    #[test]
    fn credentials_match_by_registry_and_path() {
        let config = br#"{"auths": {"reg.io:5000": {"auth": "dTpw"}, "https://index.docker.io/v1/": {"username": "d", "password": "q"}, "reg.io:5000/team": {"username": "t"}}}"#;
        let inputs = Inputs { pull_secrets: vec![(Bytes::from_static(config), false)], ..Default::default() };
        let users = |r: &str| credentials(&inputs, r).into_iter().map(|a| a.username).collect::<Vec<_>>();
        assert_eq!(users("reg.io:5000/app:1"), ["u"]);
        assert_eq!(users("reg.io:5000/team/app:1"), ["t", "u"]);
        assert_eq!(users("docker.io/library/busybox:latest"), ["d"]);
        assert!(users("reg.io:50001/app").is_empty());
    }
}
