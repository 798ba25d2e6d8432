//! Conversion between the versions of a kind that share one storage. Only two differ in more than `apiVersion`:
//! events (core and events.k8s.io) and horizontal pod autoscalers (v2 and v1).

use serde_json::{Map, Value, json};

use crate::kind::{Kind, by_resource};

/// Turns an object of version `kind` into its storage version, in place; twice is the same as once.
pub fn to_storage(kind: &Kind, value: &mut Value) {
    if let Some(stored) = by_resource(kind.resource()) {
        convert(kind, stored, value);
    }
}

/// Turns a stored object into version `kind`, in place; twice is the same as once.
pub fn from_storage(kind: &Kind, value: &mut Value) {
    if let Some(stored) = by_resource(kind.resource()) {
        convert(stored, kind, value);
    }
}

fn convert(from: &Kind, to: &Kind, value: &mut Value) {
    let Value::Object(object) = value else { return };
    let target = to.api_version();
    if object.get("apiVersion").is_some_and(|v| *v == target) {
        return;
    }
    object.insert("apiVersion".to_owned(), Value::String(target));
    match (from.kind, from.group, from.version, to.version) {
        ("Event", "events.k8s.io", _, _) => rename(object, false),
        ("Event", "", _, _) if to.group == "events.k8s.io" => rename(object, true),
        ("HorizontalPodAutoscaler", _, "v1", "v2") => autoscaler_up(object),
        ("HorizontalPodAutoscaler", _, "v2", "v1") => autoscaler_down(object),
        _ => {}
    }
}

/// Source: kubernetes `pkg/apis/events/v1/conversion.go`.
fn rename(object: &mut Map<String, Value>, to_events: bool) {
    const NAMES: [(&str, &str); 7] = [
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("reportingComponent", "reportingController"),
    ];
    for (core, events) in NAMES {
        let (from, to) = if to_events { (core, events) } else { (events, core) };
        if let Some(value) = object.remove(from) {
            object.insert(to.to_owned(), value);
        }
    }
}

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

fn annotation(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    let text = object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?.remove(key)?;
    serde_json::from_str(text.as_str()?).ok()
}

fn annotate(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    let Some(value) = value else { return };
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if metadata["annotations"].is_null() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][key] = Value::String(value.to_string());
}

fn cpu_metric(kind: &str, value: &Value) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", kind: value}})
}

fn autoscaler_up(object: &mut Map<String, Value>) {
    let mut metrics = annotation(object, METRICS).and_then(|m| m.as_array().cloned()).unwrap_or_default();
    let behavior = annotation(object, BEHAVIOR);
    let conditions = annotation(object, CONDITIONS);
    let mut current = annotation(object, CURRENT).and_then(|m| m.as_array().cloned()).unwrap_or_default();
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        if let Some(percent) = spec.remove("targetCPUUtilizationPercentage") {
            metrics.insert(0, cpu_metric("target", &json!({"type": "Utilization", "averageUtilization": percent})));
        }
        if !metrics.is_empty() {
            spec.insert("metrics".to_owned(), Value::Array(metrics));
        }
        spec.extend(behavior.map(|b| ("behavior".to_owned(), b)));
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        if let Some(percent) = status.remove("currentCPUUtilizationPercentage") {
            current.insert(0, cpu_metric("current", &json!({"averageUtilization": percent})));
        }
        if !current.is_empty() {
            status.insert("currentMetrics".to_owned(), Value::Array(current));
        }
        status.extend(conditions.map(|c| ("conditions".to_owned(), c)));
    }
}

fn autoscaler_down(object: &mut Map<String, Value>) {
    let (mut metrics, mut behavior, mut conditions, mut current) = (None, None, None, None);
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        let (percent, others) = split(spec.remove("metrics"), "/resource/target/averageUtilization");
        spec.extend(percent.map(|p| ("targetCPUUtilizationPercentage".to_owned(), p)));
        (metrics, behavior) = (others, spec.remove("behavior"));
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        let (percent, others) = split(status.remove("currentMetrics"), "/resource/current/averageUtilization");
        status.extend(percent.map(|p| ("currentCPUUtilizationPercentage".to_owned(), p)));
        (current, conditions) = (others, status.remove("conditions"));
    }
    annotate(object, METRICS, metrics);
    annotate(object, BEHAVIOR, behavior);
    annotate(object, CONDITIONS, conditions);
    annotate(object, CURRENT, current);
}

/// The CPU percentage that v1 has a field for, and the metrics for which it has none.
fn split(metrics: Option<Value>, pointer: &str) -> (Option<Value>, Option<Value>) {
    let Some(Value::Array(metrics)) = metrics else { return (None, None) };
    let mut percent = None;
    let mut others = Vec::new();
    for metric in metrics {
        match metric.pointer(pointer) {
            Some(value) if metric.pointer("/resource/name") == Some(&json!("cpu")) && percent.is_none() => {
                percent = Some(value.clone());
            }
            _ => others.push(metric),
        }
    }
    (percent, (!others.is_empty()).then_some(Value::Array(others)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_kind;

    #[track_caller]
    fn check(group: &str, version: &str, kind: &str, wire: &Value, stored: &Value) {
        let kind = by_kind(group, version, kind).unwrap();
        let mut value = wire.clone();
        to_storage(kind, &mut value);
        assert_eq!(&value, stored);
        from_storage(kind, &mut value);
        assert_eq!(&value, wire);
    }

    #[test]
    fn events_have_other_names_in_their_group() {
        check(
            "events.k8s.io",
            "v1",
            "Event",
            &json!({"apiVersion": "events.k8s.io/v1", "regarding": {"kind": "Pod"}, "note": "n", "reason": "r", "reportingController": "c"}),
            &json!({"apiVersion": "v1", "involvedObject": {"kind": "Pod"}, "message": "n", "reason": "r", "reportingComponent": "c"}),
        );
    }

    #[test]
    fn autoscalers_keep_in_annotations_what_v1_cannot_say() {
        check(
            "autoscaling",
            "v1",
            "HorizontalPodAutoscaler",
            &json!({"apiVersion": "autoscaling/v1", "metadata": {"annotations": {}}, "spec": {"targetCPUUtilizationPercentage": 80}}),
            &json!({"apiVersion": "autoscaling/v2", "metadata": {"annotations": {}}, "spec": {"metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
        );
        let v1 = by_kind("autoscaling", "v1", "HorizontalPodAutoscaler").unwrap();
        let stored = json!({"apiVersion": "autoscaling/v2", "metadata": {"annotations": {}}, "spec": {
            "metrics": [{"type": "Pods"}], "behavior": {"scaleUp": {}}}});
        let mut value = stored.clone();
        from_storage(v1, &mut value);
        assert_eq!(value["spec"], json!({}));
        to_storage(v1, &mut value);
        assert_eq!(value, stored);
    }

    #[test]
    fn equal_versions_only_change_their_name() {
        check(
            "storage.k8s.io",
            "v1beta1",
            "VolumeAttributesClass",
            &json!({"apiVersion": "storage.k8s.io/v1beta1", "driverName": "d"}),
            &json!({"apiVersion": "storage.k8s.io/v1", "driverName": "d"}),
        );
    }
}
