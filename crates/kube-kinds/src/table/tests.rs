use kube_schema::{by_resource, kinds};
use serde_json::json;

use super::*;

const NOW: &str = "2026-01-02T00:00:00Z";

#[track_caller]
fn cells(resource: &str, object: &Value) -> Vec<String> {
    let kind = by_resource(resource).unwrap();
    let cells = row(kind, object, NOW.parse().unwrap());
    assert_eq!(cells.len(), columns(kind).len());
    cells.iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect()
}

fn meta(name: &str) -> Value {
    json!({"name": name, "creationTimestamp": "2026-01-01T23:58:01Z"})
}

#[test]
fn each_kind_has_as_many_cells_as_columns() {
    for kind in kinds().iter().filter(|kind| kind.storage_version) {
        cells(kind.resource(), &json!({}));
        cells(kind.resource(), &json!({"metadata": meta("x"), "spec": {}, "status": {}}));
    }
}

#[test]
fn ages_use_the_units_that_matter() {
    for (seconds, expect) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_000, "3h3m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (63_158_400, "2y1d"),
        (315_360_000, "10y"),
    ] {
        assert_eq!(text::human(seconds), expect, "{seconds}");
    }
}

#[track_caller]
fn pod(status: &Value, ready: &str, word: &str, restarts: &str) {
    let mut object = json!({"metadata": meta("p"), "spec": {"containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": "i"}]}, "status": status});
    if let Some(deleted) = status.get("deleted") {
        object["metadata"]["deletionTimestamp"] = deleted.clone();
    }
    let cells = cells("pods", &object);
    assert_eq!((cells[1].as_str(), cells[2].as_str(), cells[3].as_str()), (ready, word, restarts), "{status}");
}

#[test]
fn the_status_of_a_pod_is_its_most_telling_reason() {
    let running = |name: &str| json!({"name": name, "ready": true, "state": {"running": {}}, "restartCount": 0});
    let ended = |name: &str, code: i32, reason: &str| json!({"name": name, "state": {"terminated": {"exitCode": code, "reason": reason}}});
    pod(&json!({"phase": "Pending"}), "0/2", "Pending", "0");
    pod(&json!({"phase": "Running", "containerStatuses": [running("a"), running("b")]}), "2/2", "Running", "0");
    pod(
        &json!({"phase": "Running", "containerStatuses": [running("a"), {"name": "b", "restartCount": 3,
        "lastState": {"terminated": {"finishedAt": "2026-01-01T23:55:00Z"}}, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        "1/2",
        "CrashLoopBackOff",
        "3 (5m ago)",
    );
    pod(
        &json!({"phase": "Succeeded", "containerStatuses": [ended("a", 0, "Completed"), ended("b", 0, "Completed")]}),
        "0/2",
        "Completed",
        "0",
    );
    pod(
        &json!({"phase": "Failed", "containerStatuses": [ended("a", 3, ""), ended("b", 1, "Error")]}),
        "0/2",
        "ExitCode:3",
        "0",
    );
    pod(
        &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [ended("a", 0, "Completed"), running("b")]}),
        "1/2",
        "Running",
        "0",
    );
    pod(
        &json!({"phase": "Running", "deleted": NOW, "containerStatuses": [running("a"), running("b")]}),
        "2/2",
        "Terminating",
        "0",
    );
    pod(&json!({"phase": "Running", "deleted": NOW, "reason": "NodeLost"}), "0/2", "Unknown", "0");
    pod(
        &json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
        "0/2",
        "Init:0/1",
        "0",
    );
    pod(
        &json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        "0/2",
        "Init:CrashLoopBackOff",
        "2",
    );
    pod(&json!({"phase": "Pending", "initContainerStatuses": [ended("i", 2, "Error")]}), "0/2", "Init:Error", "0");
    pod(
        &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
        "0/2",
        "SchedulingGated",
        "0",
    );
    pod(&json!({"phase": "Failed", "reason": "Evicted"}), "0/2", "Evicted", "0");
}

#[test]
fn workloads_count_their_pods() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
    let object = json!({"metadata": meta("d"), "spec": {"replicas": 3, "template": template, "selector": {
        "matchLabels": {"app": "w"}, "matchExpressions": [{"key": "t", "operator": "In", "values": ["b", "a"]}]}},
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}});
    assert_eq!(cells("deployments.apps", &object), ["d", "2/3", "3", "1", "119s", "a,b", "x,y", "app=w,t in (a,b)"]);
    let object = json!({"metadata": meta("j"), "spec": {"completions": 2, "parallelism": 1}, "status": {"succeeded": 1,
        "startTime": "2026-01-01T23:59:00Z"}});
    assert_eq!(cells("jobs.batch", &object)[..5], ["j", "Running", "1/2", "60s", "119s"]);
    let object = json!({"metadata": meta("h"), "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1,
        "maxReplicas": 5, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]},
        "status": {"currentReplicas": 2}});
    assert_eq!(
        cells("horizontalpodautoscalers.autoscaling", &object),
        ["h", "Deployment/d", "cpu: <unknown>/80%", "1", "5", "2", "119s"]
    );
}

#[test]
fn services_show_where_they_are_reached() {
    let object = json!({"metadata": meta("s"), "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}});
    assert_eq!(
        cells("services", &object),
        ["s", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "119s", "a=b"]
    );
    let balanced = json!({"metadata": meta("s"), "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}});
    assert_eq!(cells("services", &balanced)[3], "<pending>");
    let address = |n: u8| json!({"ip": format!("10.0.0.{n}")});
    let object = json!({"metadata": meta("e"), "subsets": [{"addresses": [address(1), address(2), address(3), address(4)],
        "ports": [{"port": 80}]}]});
    assert_eq!(cells("endpoints", &object)[1], "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...");
    assert_eq!(
        cells(
            "endpointslices.discovery.k8s.io",
            &json!({"metadata": meta("e"), "addressType": "IPv4",
        "ports": [{"port": 80, "name": ""}], "endpoints": [{"addresses": ["10.0.0.1"]}]})
        ),
        ["e", "IPv4", "80", "10.0.0.1", "119s"]
    );
}

#[test]
fn nodes_show_their_state_and_roles() {
    let object = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/agent": "", "node-role.kubernetes.io/a": ""},
        "creationTimestamp": NOW}, "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.36.0"}, "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}]}});
    assert_eq!(
        cells("nodes", &object),
        [
            "n",
            "Ready,SchedulingDisabled",
            "a,agent",
            "0s",
            "v1.36.0",
            "1.2.3.4",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>"
        ]
    );
    assert_eq!(cells("nodes", &json!({"metadata": meta("n")}))[1], "Unknown");
}

#[test]
fn events_name_their_object_and_source() {
    let object = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "R",
        "message": " m ", "lastTimestamp": "2026-01-01T23:59:50Z", "firstTimestamp": "2026-01-01T23:59:00Z", "count": 4,
        "source": {"component": "c", "host": "h"}});
    assert_eq!(cells("events", &object), ["10s", "Normal", "R", "pod/p", "", "c, h", "m", "60s", "4", "e"]);
}
