//! The quality-of-service class of a pod.
//! Source: kubernetes `pkg/apis/core/v1/helper/qos`.

use domain::Quantity;
use serde_json::Value;

use crate::json::list;

/// `Guaranteed` if every container has equal requests and limits of CPU and memory, `BestEffort` if none asks for
/// anything, else `Burstable`.
#[must_use]
pub fn qos_class(pod: &Value) -> &'static str {
    let containers = list(pod, "/spec/containers").iter().chain(list(pod, "/spec/initContainers"));
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for name in ["cpu", "memory"] {
            let amount = |of: &str| {
                let text = container.pointer(&format!("/resources/{of}/{name}")).and_then(Value::as_str);
                text.and_then(|text| Quantity::parse(text).ok()).filter(|quantity| quantity.milli() > 0)
            };
            let (request, limit) = (amount("requests"), amount("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn class_follows_requests_and_limits() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        for (resources, class) in [
            (json!({}), "BestEffort"),
            (json!({"limits": both}), "Guaranteed"),
            (json!({"limits": both, "requests": {"cpu": "1000m", "memory": "1024Mi"}}), "Guaranteed"),
            (json!({"limits": both, "requests": {"cpu": "500m"}}), "Burstable"),
            (json!({"requests": both}), "Burstable"),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
        ] {
            let pod = json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
            assert_eq!(qos_class(&pod), class, "{pod}");
        }
    }
}
