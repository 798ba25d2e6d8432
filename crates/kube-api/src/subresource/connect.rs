//! `log`, `exec`, `attach`, `portforward` of pods: which kubelet, which container, and which path there.
//! Source of texts and rules: upstream's `pkg/registry/core/pod/strategy.go`.

use crate::{
    meta, ops,
    path::ResourcePath,
    proxy::{self, Kubelet},
    query::{Query, escape},
    state::ApiState,
};
use axum::{extract::Request, response::Response};
use kube_schema::Kind;
use kube_store::{Cluster, Key};
use problem::kube::Status;
use serde_json::Value;

/// Annotation that names the container kubectl talks to.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Port of kubelets that do not say theirs. Source: Kubernetes' default.
const KUBELET_PORT: u16 = 10250;

/// Connects a caller with a pod's kubelet.
///
/// # Errors
/// 404, 400 if the pod or container can't be talked to, 503 if the kubelet does not answer.
pub(crate) async fn connect(
    state: &ApiState,
    cluster: &Cluster,
    kind: &'static Kind,
    path: &ResourcePath,
    query: &Query,
    request: Request,
) -> Result<Response, Status> {
    let subresource = path.subresource.as_deref().unwrap_or_default();
    let served = kube_schema::subresource(kind, subresource).ok_or_else(Status::no_such_path)?;
    let name = path.name.as_deref().unwrap_or_default();
    if kind.resource() != "pods" || subresource == "proxy" {
        return Err(Status::new(501, "NotImplemented", format!("{}/{subresource} is not supported yet", kind.plural)));
    }
    let method = request.method().as_str();
    if !matches!((method, subresource), ("GET", _) | ("POST", "exec" | "attach" | "portforward"))
        || served.verbs.is_empty()
    {
        return Err(Status::method_not_allowed());
    }
    let namespace = path.namespace.as_deref().unwrap_or_default();
    let pod = ops::get(cluster, kind, namespace, name)?.value();
    let kubelet_query = match subresource {
        "log" => log_query(query)?,
        "portforward" => forwarded(query, &["port", "ports"]),
        _ => stream_query(query, subresource)?,
    };
    let container = match subresource {
        "portforward" => None,
        _ => Some(container(&pod, query.get("container"))?),
    };
    let kubelet = kubelet(cluster, &pod)?;
    let place = format!("{}:{namespace}/{}", cluster.id(), escape(name));
    let target = match (subresource, container) {
        ("log", Some(container)) => format!("/containerLogs/{place}/{}", escape(&container)),
        ("portforward", _) => format!("/portForward/{place}"),
        (word, container) => format!("/{word}/{place}/{}", escape(&container.unwrap_or_default())),
    };
    let target = if kubelet_query.is_empty() { target } else { format!("{target}?{kubelet_query}") };
    if subresource == "log" {
        proxy::stream(state, &kubelet, &target, request).await
    } else {
        proxy::upgrade(state, &kubelet, &target, request).await
    }
}

/// The kubelet that runs a pod.
fn kubelet(cluster: &Cluster, pod: &Value) -> Result<Kubelet, Status> {
    let name = meta::text(pod, "name");
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let found = cluster.get(&Key::new("nodes", "", node)).ok_or_else(|| Status::not_found("nodes", node))?.value();
    let addresses = found["status"]["addresses"].as_array().into_iter().flatten();
    let address = addresses
        .filter(|address| address["type"] == "InternalIP")
        .find_map(|address| address["address"].as_str())
        .ok_or_else(|| Status::unavailable(format!("node {node} has no address yet")))?;
    let port = found["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(KUBELET_PORT);
    Ok(Kubelet { address: address.to_owned(), port })
}

fn names<'a>(pod: &'a Value, list: &str) -> Vec<&'a str> {
    pod["spec"][list].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect()
}

/// The container that is meant.
fn container(pod: &Value, asked: Option<&str>) -> Result<String, Status> {
    let name = meta::text(pod, "name");
    let (main, init) = (names(pod, "containers"), names(pod, "initContainers"));
    let ephemeral = names(pod, "ephemeralContainers");
    let Some(asked) = asked else {
        let annotated = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str();
        if let Some(annotated) = annotated.filter(|annotated| main.contains(annotated)) {
            return Ok(annotated.to_owned());
        }
        let mut choose =
            format!("a container name must be specified for pod {name}, choose one of: [{}]", main.join(" "));
        if !init.is_empty() {
            choose.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
        }
        if !ephemeral.is_empty() {
            choose.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
        }
        return match main.as_slice() {
            [only] => Ok((*only).to_owned()),
            _ => Err(Status::bad_request(choose)),
        };
    };
    if main.contains(&asked) || init.contains(&asked) || ephemeral.contains(&asked) {
        return Ok(asked.to_owned());
    }
    Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
}

fn forwarded(query: &Query, keys: &[&str]) -> String {
    let mut parts = Vec::new();
    for key in keys {
        for value in query.all(key) {
            parts.push(format!("{key}={}", escape(value)));
        }
    }
    parts.join("&")
}

fn log_query(query: &Query) -> Result<String, Status> {
    let invalid = |field: &str, value: &str, why: &str| {
        let cause = problem::kube::Cause::invalid(field, &Value::String(value.into()), why);
        Err(Status::invalid("PodLogOptions", "", &[cause]))
    };
    if let Some(text) = query.get("tailLines")
        && text.parse::<u64>().is_err()
    {
        return invalid("tailLines", text, "must be greater than or equal to 0");
    }
    for field in ["limitBytes", "sinceSeconds"] {
        if let Some(text) = query.get(field)
            && text.parse::<u64>().unwrap_or(0) == 0
        {
            return invalid(field, text, "must be greater than 0");
        }
    }
    let keys = ["follow", "previous", "timestamps", "tailLines", "limitBytes", "sinceSeconds", "sinceTime", "stream"];
    Ok(forwarded(query, &keys))
}

/// Translates the API's words for streams to the kubelet's.
fn stream_query(query: &Query, subresource: &str) -> Result<String, Status> {
    let mut parts = Vec::new();
    for (ours, kubelets) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.flag(ours) {
            parts.push(format!("{kubelets}=1"));
        }
    }
    if parts.iter().all(|part| part == "tty=1") {
        let why = "you must specify at least one of stdin, stdout, stderr";
        return Err(Status::bad_request(why));
    }
    if subresource == "exec" {
        let command: Vec<&str> = query.all("command").collect();
        if command.is_empty() {
            return Err(Status::bad_request("you must specify at least one command for the container"));
        }
        parts.extend(command.into_iter().map(|word| format!("command={}", escape(word))));
    }
    Ok(parts.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_are_chosen_as_upstream_does() {
        let one = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&one, None).unwrap(), "a");
        let two = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(
            container(&two, None).unwrap_err().message(),
            "a container name must be specified for pod p, choose one of: [a b]"
        );
        assert_eq!(container(&two, Some("c")).unwrap_err().message(), "container c is not valid for pod p");
        let mut annotated = two.clone();
        annotated["metadata"]["annotations"] = json!({DEFAULT_CONTAINER: "b"});
        assert_eq!(container(&annotated, None).unwrap(), "b");
    }

    #[test]
    fn streams_are_renamed_for_the_kubelet() {
        let query = Query::parse(Some("command=sh&command=-c&command=a+b&stdin=true&stdout=true&tty=true&container=x"))
            .unwrap();
        assert_eq!(stream_query(&query, "exec").unwrap(), "input=1&output=1&tty=1&command=sh&command=-c&command=a%20b");
        assert!(stream_query(&Query::parse(Some("command=sh")).unwrap(), "exec").is_err());
        assert!(stream_query(&Query::parse(Some("stdout=1")).unwrap(), "exec").is_err());
    }
}
