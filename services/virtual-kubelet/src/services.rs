//! The environment of a cluster's Services that pods see.
//! Source: Kubernetes documentation, "Accessing the Service: environment variables".

use crate::control::{ApiError, Control};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a namespace's Services are believed: pods see those that exist when they start.
const BELIEVE: Duration = Duration::from_secs(5);

type Cached = (Instant, Arc<Vec<Value>>);

/// Reads Services, and remembers them for moments.
#[derive(Debug)]
pub(crate) struct ServiceEnv {
    control: Control,
    cache: Mutex<HashMap<(Arc<str>, String), Cached>>,
}

impl ServiceEnv {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, cache: Mutex::default() }
    }

    /// Variables for pods of a namespace: of the `kubernetes` Service, and with `links` of the namespace's own.
    pub(crate) async fn of(
        &self,
        cluster: &Arc<str>,
        namespace: &str,
        links: bool,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        let mut all = BTreeMap::new();
        for service in self.services(cluster, "default").await?.iter() {
            if service["metadata"]["name"] == "kubernetes" {
                all.extend(variables(service));
            }
        }
        if links {
            for service in self.services(cluster, namespace).await?.iter() {
                all.extend(variables(service));
            }
        }
        Ok(all)
    }

    async fn services(&self, cluster: &Arc<str>, namespace: &str) -> Result<Arc<Vec<Value>>, ApiError> {
        let key = (Arc::clone(cluster), namespace.to_owned());
        if let Some((at, services)) = self.cache.lock().get(&key) {
            if at.elapsed() < BELIEVE {
                return Ok(Arc::clone(services));
            }
        }
        let list = self.control.get(cluster, &format!("/api/v1/namespaces/{namespace}/services")).await?;
        let services = Arc::new(list["items"].as_array().cloned().unwrap_or_default());
        let mut cache = self.cache.lock();
        cache.retain(|_, (at, _)| at.elapsed() < BELIEVE);
        cache.insert(key, (Instant::now(), Arc::clone(&services)));
        Ok(services)
    }
}

/// The variables of one Service; none for one without an address.
fn variables(service: &Value) -> Vec<(String, String)> {
    let spec = &service["spec"];
    let address = spec["clusterIP"].as_str().filter(|address| !address.is_empty() && *address != "None");
    let (Some(address), Some(name)) = (address, service["metadata"]["name"].as_str()) else { return Vec::new() };
    let prefix = name.to_uppercase().replace('-', "_");
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all = vec![(format!("{prefix}_SERVICE_HOST"), address.to_owned())];
    for (index, port) in ports.iter().enumerate() {
        let number = port["port"].as_u64().unwrap_or(0);
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let url = format!("{}://{address}:{number}", protocol.to_lowercase());
        if index == 0 {
            all.push((format!("{prefix}_SERVICE_PORT"), number.to_string()));
            all.push((format!("{prefix}_PORT"), url.clone()));
        }
        if let Some(port_name) = port["name"].as_str() {
            let port_name = port_name.to_uppercase().replace('-', "_");
            all.push((format!("{prefix}_SERVICE_PORT_{port_name}"), number.to_string()));
        }
        let base = format!("{prefix}_PORT_{number}_{protocol}");
        all.extend([
            (base.clone(), url),
            (format!("{base}_PROTO"), protocol.to_lowercase()),
            (format!("{base}_PORT"), number.to_string()),
            (format!("{base}_ADDR"), address.to_owned()),
        ]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_those_of_the_documentation() {
        let service = json!({"metadata": {"name": "redis-primary"}, "spec": {"clusterIP": "10.0.0.11", "ports": [{"port": 6379}]}});
        let text: Vec<String> =
            variables(&service).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expect = [
            "REDIS_PRIMARY_SERVICE_HOST=10.0.0.11",
            "REDIS_PRIMARY_SERVICE_PORT=6379",
            "REDIS_PRIMARY_PORT=tcp://10.0.0.11:6379",
            "REDIS_PRIMARY_PORT_6379_TCP=tcp://10.0.0.11:6379",
            "REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp",
            "REDIS_PRIMARY_PORT_6379_TCP_PORT=6379",
            "REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.0.0.11",
        ];
        assert_eq!(text, expect);
        assert!(variables(&json!({"metadata": {"name": "x"}, "spec": {"clusterIP": "None"}})).is_empty());
    }
}
