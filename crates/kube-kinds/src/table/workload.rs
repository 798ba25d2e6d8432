//! Controllers of pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR, Table, column, integer, name, string,
    text::{NONE, age, condition, containers, count, human, labels, or, selector, since, terminating},
};
use crate::json::{flag, list, number, text};

const TEMPLATE: &str = "/spec/template/spec/containers";

/// Tables of workloads.
pub(super) fn table(resource: &str) -> Option<Table> {
    let (columns, row): (&'static [Column], super::Row) = match resource {
        "deployments.apps" => (DEPLOYMENT, deployment),
        "replicasets.apps" => (REPLICAS, replica_set),
        "replicationcontrollers" => (REPLICAS, replication_controller),
        "statefulsets.apps" => (STATEFUL_SET, stateful_set),
        "daemonsets.apps" => (DAEMON_SET, daemon_set),
        "jobs.batch" => (JOB, job),
        "cronjobs.batch" => (CRON_JOB, cron_job),
        "podtemplates" => (POD_TEMPLATE, pod_template),
        "controllerrevisions.apps" => (REVISION, revision),
        "horizontalpodautoscalers.autoscaling" => (AUTOSCALER, autoscaler),
        _ => return None,
    };
    Some(Table { columns, row })
}

const DEPLOYMENT: &[Column] = &[
    NAME,
    string("Ready", "Pods that are ready, of those wanted."),
    column("Up-to-date", "integer", 0, "Pods of the newest template."),
    column("Available", "integer", 0, "Pods that have been ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(object, TEMPLATE);
    vec![
        name(object),
        json!(format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"))),
        json!(number(object, "/status/updatedReplicas")),
        json!(number(object, "/status/availableReplicas")),
        age(object, now),
        names,
        images,
        json!(selector(object.pointer("/spec/selector"))),
    ]
}

const REPLICAS: &[Column] = &[
    NAME,
    integer("Desired", "Pods wanted."),
    integer("Current", "Pods that exist."),
    integer("Ready", "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn replicas(object: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let (names, images) = containers(object, TEMPLATE);
    vec![
        name(object),
        json!(number(object, "/spec/replicas")),
        json!(number(object, "/status/replicas")),
        json!(number(object, "/status/readyReplicas")),
        age(object, now),
        names,
        images,
        json!(selector),
    ]
}

fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, selector(object.pointer("/spec/selector")))
}

fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, labels(object.pointer("/spec/selector")))
}

const STATEFUL_SET: &[Column] =
    &[NAME, string("Ready", "Pods that are ready, of those wanted."), AGE, CONTAINERS, IMAGES];

fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(object, TEMPLATE);
    let ready = format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"));
    vec![name(object), json!(ready), age(object, now), names, images]
}

const DAEMON_SET: &[Column] = &[
    NAME,
    integer("Desired", "Nodes that should run a pod."),
    integer("Current", "Nodes that run a pod."),
    integer("Ready", "Nodes whose pod is ready."),
    integer("Up-to-date", "Nodes with a pod of the newest template."),
    integer("Available", "Nodes whose pod has been ready for long enough."),
    string("Node Selector", "Labels of the nodes that are meant."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(object, TEMPLATE);
    let status = |field: &str| json!(number(object, &format!("/status/{field}")));
    vec![
        name(object),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        json!(labels(object.pointer("/spec/template/spec/nodeSelector"))),
        age(object, now),
        names,
        images,
        json!(selector(object.pointer("/spec/selector"))),
    ]
}

const JOB: &[Column] = &[
    NAME,
    string("Status", "How far the job is."),
    string("Completions", "Pods that succeeded, of those wanted."),
    string("Duration", "Time from start to end, or until now."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(object, TEMPLATE);
    let ends = [("Complete", "Complete"), ("Failed", "Failed")];
    let others =
        [("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet")];
    let find =
        |list: &[(&str, &'static str)]| list.iter().find(|(kind, _)| condition(object, kind)).map(|(_, word)| *word);
    let status = find(&ends).or(terminating(object).then_some("Terminating")).or(find(&others)).unwrap_or("Running");
    let succeeded = number(object, "/status/succeeded");
    let parallelism = number(object, "/spec/parallelism");
    let completions = match object.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    };
    let time = |pointer: &str| text(object, pointer).parse::<Timestamp>().ok();
    let duration = time("/status/startTime").map_or_else(String::new, |start| {
        human(time("/status/completionTime").unwrap_or(now).as_second() - start.as_second())
    });
    vec![
        name(object),
        json!(status),
        json!(completions),
        json!(duration),
        age(object, now),
        names,
        images,
        json!(selector(object.pointer("/spec/selector"))),
    ]
}

const CRON_JOB: &[Column] = &[
    NAME,
    string("Schedule", "When jobs are made, in cron's notation."),
    string("Timezone", "Time zone of the schedule."),
    column("Suspend", "boolean", 0, "Whether no jobs are made for now."),
    integer("Active", "Jobs that run now."),
    string("Last Schedule", "Time since a job was last made."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(object, "/spec/jobTemplate/spec/template/spec/containers");
    let last = text(object, "/status/lastScheduleTime");
    vec![
        name(object),
        json!(text(object, "/spec/schedule")),
        json!(or(object, "/spec/timeZone", NONE)),
        json!(if flag(object, "/spec/suspend") { "True" } else { "False" }),
        json!(count(object, "/status/active")),
        json!(if last.is_empty() { NONE.to_owned() } else { since(last, now) }),
        age(object, now),
        names,
        images,
        json!(selector(object.pointer("/spec/jobTemplate/spec/selector"))),
    ]
}

const POD_TEMPLATE: &[Column] = &[
    NAME,
    string("Containers", "Names of the containers in the template."),
    string("Images", "Images of the containers in the template."),
    string("Pod Labels", "Labels of the pods made from it."),
];

fn pod_template(object: &Value, _now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(object, "/template/spec/containers");
    vec![name(object), names, images, json!(labels(object.pointer("/template/metadata/labels")))]
}

const REVISION: &[Column] =
    &[NAME, string("Controller", "Whose revision it is."), integer("Revision", "Its number."), AGE];

fn revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owner = list(object, "/metadata/ownerReferences").iter().find(|owner| flag(owner, "/controller"));
    let controller = owner.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let kind = text(owner, "/kind").to_lowercase();
            match text(owner, "/apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "/name")),
                None => format!("{kind}/{}", text(owner, "/name")),
            }
        },
    );
    vec![name(object), json!(controller), json!(number(object, "/revision")), age(object, now)]
}

const AUTOSCALER: &[Column] = &[
    NAME,
    string("Reference", "What is scaled."),
    string("Targets", "Metrics: how they are, and how they should be."),
    string("MinPods", "Fewest pods."),
    string("MaxPods", "Most pods."),
    integer("Replicas", "Pods now."),
    AGE,
];

fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let target = |key: &str| text(object, &format!("/spec/scaleTargetRef/{key}")).to_owned();
    let minimum = object.pointer("/spec/minReplicas").map_or_else(|| "<unset>".to_owned(), ToString::to_string);
    vec![
        name(object),
        json!(format!("{}/{}", target("kind"), target("name"))),
        json!(metrics(object)),
        json!(minimum),
        json!(number(object, "/spec/maxReplicas").to_string()),
        json!(number(object, "/status/currentReplicas")),
        age(object, now),
    ]
}

fn metrics(object: &Value) -> String {
    let wanted = list(object, "/spec/metrics");
    let texts: Vec<String> = wanted.iter().enumerate().map(|(i, metric)| metric_text(object, i, metric)).collect();
    match texts.len() {
        0 => NONE.to_owned(),
        1 | 2 => texts.join(", "),
        length => format!("{} + {} more...", texts[..2].join(", "), length - 2),
    }
}

fn metric_text(object: &Value, index: usize, metric: &Value) -> String {
    let source = match text(metric, "/type") {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let current = object.pointer(&format!("/status/currentMetrics/{index}/{source}/current"));
    let value = |of: Option<&Value>| {
        let of = of?;
        let quantity = |key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
        let percent = of.get("averageUtilization").and_then(Value::as_i64).map(|n| format!("{n}%"));
        percent.or_else(|| quantity("averageValue")).or_else(|| quantity("value"))
    };
    let now = value(current).unwrap_or_else(|| "<unknown>".to_owned());
    let goal = value(metric.pointer(&format!("/{source}/target"))).unwrap_or_else(|| "<auto>".to_owned());
    match text(metric, &format!("/{source}/name")) {
        "" => format!("{now}/{goal}"),
        label => format!("{label}: {now}/{goal}"),
    }
}
