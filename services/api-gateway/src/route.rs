//! Where a path leads. Pure.

use domain::ClusterId;

/// Which service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Control,
    Billing,
}

/// The form in which errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Kubernetes,
    Oci,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A cluster's Kubernetes API, named in the path.
    Cluster(ClusterId),
    /// A cluster's Kubernetes API as pods see it: the token names the cluster.
    InCluster,
    /// The cloud API.
    Cloud(Service),
    /// Nowhere.
    Unknown(Form),
}

/// Paths at the root of a Kubernetes API server.
const KUBERNETES_ROOTS: [&str; 7] = ["api", "apis", "version", "openapi", "healthz", "livez", "readyz"];

impl Route {
    /// The route of a path.
    pub(crate) fn of(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let first = parts.next().unwrap_or_default();
        match first {
            "clusters" => match parts.next().map(str::parse) {
                Some(Ok(id)) => Self::Cluster(id),
                _ => Self::Unknown(Form::Kubernetes),
            },
            "20180222" | "20210415" | "20160918" => Self::Cloud(Service::Control),
            "usage" => Self::Cloud(Service::Billing),
            root if KUBERNETES_ROOTS.contains(&root) => Self::InCluster,
            _ => Self::Unknown(Form::Oci),
        }
    }

    /// How errors of this route are told.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Cluster(_) | Self::InCluster => Form::Kubernetes,
            Self::Cloud(_) => Form::Oci,
            Self::Unknown(form) => *form,
        }
    }

    /// Which service answers, if any.
    pub(crate) fn service(&self) -> Option<Service> {
        match self {
            Self::Cluster(_) | Self::InCluster => Some(Service::Control),
            Self::Cloud(service) => Some(*service),
            Self::Unknown(_) => None,
        }
    }

    /// A word for metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "kubernetes",
            Self::InCluster => "kubernetes-in-cluster",
            Self::Cloud(Service::Control) => "cloud",
            Self::Cloud(Service::Billing) => "usage",
            Self::Unknown(_) => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_should() {
        let id = ClusterId::generate();
        let cluster = || Route::Cluster(id.clone());
        assert_eq!(Route::of(&format!("/clusters/{id}/api/v1/pods")), cluster());
        assert_eq!(Route::of(&format!("/clusters/{id}")), cluster());
        assert_eq!(Route::of("/20180222/clusters"), Route::Cloud(Service::Control));
        assert_eq!(Route::of("/usage/v1/pods"), Route::Cloud(Service::Billing));
        assert_eq!(Route::of("/api/v1/namespaces"), Route::InCluster);
    }

    #[test]
    fn internal_paths_and_the_wildcard_lead_nowhere() {
        for path in ["/clusters/*/api/v1/pods", "/clusters/%2A/api/v1/pods", "/clusters", "/clusters//api"] {
            assert_eq!(Route::of(path), Route::Unknown(Form::Kubernetes), "{path}");
        }
        for path in ["/internal/v1/keys/x", "/", "//internal", "/20180222x"] {
            assert_eq!(Route::of(path), Route::Unknown(Form::Oci), "{path}");
        }
    }
}
