//! Which service a path belongs to, and in which form its errors are. Pure.

use domain::ClusterId;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The Kubernetes API of a cluster: `/clusters/{id}/...`.
    Kube(ClusterId),
    /// The same at a host name of the cluster's own, without a prefix.
    KubeAtHost(ClusterId),
    /// The Kubernetes API as pods see it: the token names the cluster.
    InPod,
    /// The cloud API.
    Cloud,
    /// Usage and bills.
    Usage,
    /// A malformed cluster id.
    NoCluster,
    /// Nothing of ours.
    Nothing,
}

/// First segments of paths that are Kubernetes' own.
const KUBE: &[&str] = &["api", "apis", "version", "openapi", "openid", ".well-known", "livez", "readyz", "healthz"];
/// First segments of the cloud API's versions.
const CLOUD: &[&str] = &["20180222", "20210415", "20160918", "20190901", "20190729", "20181025"];

impl Route {
    /// The route of a path.
    pub(crate) fn of(path: &str) -> Self {
        let mut segments = path.strip_prefix('/').unwrap_or(path).splitn(3, '/');
        let first = segments.next().unwrap_or_default();
        match first {
            "clusters" => match segments.next().unwrap_or_default().parse() {
                Ok(id) => Self::Kube(id),
                Err(_) => Self::NoCluster,
            },
            "usage" => Self::Usage,
            _ if CLOUD.contains(&first) => Self::Cloud,
            _ if KUBE.contains(&first) => Self::InPod,
            _ => Self::Nothing,
        }
    }

    /// The cluster that the path or the host names.
    pub(crate) fn cluster(&self) -> Option<&ClusterId> {
        match self {
            Self::Kube(cluster) | Self::KubeAtHost(cluster) => Some(cluster),
            Self::InPod | Self::Cloud | Self::Usage | Self::NoCluster | Self::Nothing => None,
        }
    }

    /// True if errors are Kubernetes Status objects.
    pub(crate) fn speaks_kube(&self) -> bool {
        matches!(self, Self::Kube(_) | Self::KubeAtHost(_) | Self::InPod | Self::NoCluster)
    }

    /// Its name in metrics and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kube(_) | Self::KubeAtHost(_) | Self::InPod | Self::NoCluster => "kubernetes",
            Self::Cloud => "cloud",
            Self::Usage => "usage",
            Self::Nothing => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let id = ClusterId::generate();
        assert_eq!(Route::of(&format!("/clusters/{id}/api/v1/pods")), Route::Kube(id.clone()));
        assert_eq!(Route::of(&format!("/clusters/{id}")), Route::Kube(id));
        for (path, route) in [
            ("/clusters/*/api/v1/pods", Route::NoCluster),
            ("/clusters", Route::NoCluster),
            ("/clusters//api", Route::NoCluster),
            ("/api", Route::InPod),
            ("/apis/apps/v1", Route::InPod),
            ("/version", Route::InPod),
            ("/20180222/clusters", Route::Cloud),
            ("/usage/v1/pods", Route::Usage),
            ("/internal/v1/keys/x", Route::Nothing),
            ("/", Route::Nothing),
            ("/apix", Route::Nothing),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
