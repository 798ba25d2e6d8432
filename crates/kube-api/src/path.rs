//! Reads a request's path: which cluster, and which resource or other document of it.

use std::borrow::Cow;

/// A path below `/clusters/{cluster}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Anything that is no resource: `version`, `api`, `apis/apps/v1`, `openapi/v3/api/v1`, ...
    Document(Vec<String>),
    /// A resource, one object of it, or a subresource.
    Resource(ResourcePath),
}

/// A path to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourcePath {
    /// API group, empty for the core group.
    pub(crate) group: String,
    /// API version.
    pub(crate) version: String,
    /// The namespace in the path, if one is.
    pub(crate) namespace: Option<String>,
    /// Plural name.
    pub(crate) resource: String,
    /// Name of one object.
    pub(crate) name: Option<String>,
    /// Subresource of the object.
    pub(crate) subresource: Option<String>,
    /// What follows the subresource (as in `proxy/a/b`).
    pub(crate) rest: Vec<String>,
    /// The old `/api/v1/watch/...` form.
    pub(crate) watch: bool,
}

/// Splits `/clusters/{cluster}/{rest}`; `None` if the path is of another form.
pub(crate) fn split_cluster(path: &str) -> Option<(Cow<'_, str>, &str)> {
    let tail = path.strip_prefix("/clusters/")?;
    let (cluster, rest) = tail.find('/').map_or((tail, ""), |at| tail.split_at(at));
    Some((decode(cluster)?, rest))
}

/// Reads the part of a path after the cluster; `None` if it is malformed.
pub(crate) fn parse(rest: &str) -> Option<Target> {
    let mut segments = Vec::with_capacity(8);
    for segment in rest.split('/').filter(|segment| !segment.is_empty()) {
        segments.push(decode(segment)?.into_owned());
    }
    let (group, version, tail) = match segments.as_slice() {
        [api, version, tail @ ..] if api == "api" && !tail.is_empty() => (String::new(), version.clone(), tail),
        [apis, group, version, tail @ ..] if apis == "apis" && !tail.is_empty() => {
            (group.clone(), version.clone(), tail)
        }
        _ => return Some(Target::Document(segments)),
    };
    let mut path = ResourcePath { group, version, ..ResourcePath::default() };
    let tail = match tail {
        [watch, tail @ ..] if watch == "watch" && !tail.is_empty() => {
            path.watch = true;
            tail
        }
        _ => tail,
    };
    resource_of(&mut path, tail);
    Some(Target::Resource(path))
}

fn resource_of(path: &mut ResourcePath, tail: &[String]) {
    let of_namespaces = |part: &str| matches!(part, "status" | "finalize");
    let tail = match tail {
        [word, namespace, next, more @ ..]
            if word == "namespaces" && !(path.group.is_empty() && more.is_empty() && of_namespaces(next)) =>
        {
            path.namespace = Some(namespace.clone());
            &tail[2..]
        }
        _ => tail,
    };
    let mut parts = tail.iter().cloned();
    path.resource = parts.next().unwrap_or_default();
    path.name = parts.next();
    path.subresource = parts.next();
    path.rest = parts.collect();
}

/// Undoes percent-encoding; `None` if it is not UTF-8 or an escape is broken.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let pair = text.get(at + 1..at + 3)?;
            out.push(u8::from_str_radix(pair, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expect: &str) {
        let Some(Target::Resource(p)) = parse(path) else { panic!("{path} is no resource") };
        let show = |o: &Option<String>| o.clone().unwrap_or_else(|| "-".into());
        let text = format!(
            "{}/{} ns={} {} {} {}",
            p.group,
            p.version,
            show(&p.namespace),
            p.resource,
            show(&p.name),
            show(&p.subresource)
        );
        assert_eq!(text, expect);
    }

    #[test]
    fn resources_are_found() {
        check("/api/v1/pods", "/v1 ns=- pods - -");
        check("/api/v1/namespaces", "/v1 ns=- namespaces - -");
        check("/api/v1/namespaces/a", "/v1 ns=- namespaces a -");
        check("/api/v1/namespaces/a/status", "/v1 ns=- namespaces a status");
        check("/api/v1/namespaces/a/finalize", "/v1 ns=- namespaces a finalize");
        check("/api/v1/namespaces/a/pods/b/log", "/v1 ns=a pods b log");
        check("/apis/apps/v1/namespaces/a/deployments/b%2Dc", "apps/v1 ns=a deployments b-c -");
        check("/api/v1/nodes/n/status", "/v1 ns=- nodes n status");
    }

    #[test]
    fn documents_are_found() {
        assert_eq!(parse("/apis/apps/v1"), Some(Target::Document(vec!["apis".into(), "apps".into(), "v1".into()])));
        assert_eq!(parse("/api/v1"), Some(Target::Document(vec!["api".into(), "v1".into()])));
        assert_eq!(parse("/a%zz"), None);
    }

    #[test]
    fn cluster_is_split_off() {
        let (cluster, rest) = split_cluster("/clusters/*/api/v1/pods").unwrap();
        assert_eq!((&*cluster, rest), ("*", "/api/v1/pods"));
        assert_eq!(split_cluster("/clusters/x").unwrap().1, "");
        assert!(split_cluster("/other").is_none());
    }
}
