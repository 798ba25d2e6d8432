//! Host names of clusters: `<unique part of the cluster's OCID>.<suffix>`. Pure.

use domain::ClusterId;
use http::{HeaderMap, Uri, header};

/// The host that a request is for, as it was sent: with a port if it has one.
pub(crate) fn of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    // HTTP/2 has it in the URI.
    header.or_else(|| uri.authority().map(http::uri::Authority::as_str))
}

/// The cluster whose host name this is, with or without a port.
pub(crate) fn cluster(host: &str, suffix: &str) -> Option<ClusterId> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let unique = name.strip_suffix(suffix)?.strip_suffix('.')?;
    ClusterId::from_unique(unique).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_found_by_its_host_name() {
        let id = ClusterId::generate();
        let name = format!("{}.clusters.example", id.unique());
        for host in [name.clone(), format!("{name}:6443"), name.to_ascii_uppercase()] {
            assert_eq!(cluster(&host, "clusters.example"), Some(id.clone()), "{host}");
        }
        for host in ["clusters.example", ".clusters.example", "a.b.clusters.example", "x.example", "10.0.0.1:6443"] {
            assert_eq!(cluster(host, "clusters.example"), None, "{host}");
        }
        assert_eq!(cluster(&format!("{}xclusters.example", id.unique()), "clusters.example"), None);
    }

    #[test]
    fn the_host_is_in_the_header_or_in_the_uri() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&Uri::from_static("https://a:1/x"), &headers), Some("a:1"));
        assert_eq!(of(&Uri::from_static("/x"), &headers), None);
        headers.insert(header::HOST, "b:2".parse().unwrap());
        assert_eq!(of(&Uri::from_static("/x"), &headers), Some("b:2"));
    }
}
