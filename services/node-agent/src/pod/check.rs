//! Health checks of container instances: a container may have several of them, each with its own consequence, which
//! Kubernetes' probes can't say. They come as an annotation of the pod and are told as conditions of it. Pure.

use k8s_openapi::api::core::v1::{Pod, PodCondition, Probe};
use serde::Deserialize;

use super::status::Sources;

/// Annotation that holds all checks of a pod as a JSON list.
const ANNOTATION: &str = "hako.dev/health-checks";
/// How the types of the conditions begin that tell how the checks are: `<prefix><container>/<number of the check>`.
const CONDITION: &str = "hako.dev/health/";

/// One check.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The container that is asked.
    pub container: String,
    /// Counts the container's checks from 0.
    pub number: usize,
    /// Its failure stops the container, which then starts again or not by the pod's policy.
    pub kill: bool,
    /// How and when to ask.
    pub probe: Probe,
}

/// The checks that a pod's annotation asks for.
///
/// # Errors
/// If there is one that can't be read.
pub fn read(pod: &Pod) -> Result<Vec<Check>, serde_json::Error> {
    let text = pod.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION));
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(text))
}

/// How the checks of running containers are, as far as anything is settled; those that did not change keep their time.
pub(super) fn conditions(sources: &Sources<'_>) -> Vec<PodCondition> {
    let Sources { desired, view, memory, previous, now_ms } = *sources;
    let settled = desired.checks.iter().filter_map(|check| {
        let running = view.running().find(|(name, _)| *name == check.container)?.1;
        let (healthy, message) = memory.health.get(&running.id)?.checks.get(&check.number)?;
        Some((format!("{CONDITION}{}/{}", check.container, check.number), *healthy, message.clone()))
    });
    let condition = |(kind, healthy, message): (String, bool, String)| {
        let status = if healthy { "True" } else { "False" };
        let before = previous.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
        PodCondition {
            last_transition_time: before
                .and_then(|c| c.last_transition_time.clone())
                .or_else(|| Some(super::status::time_ms(now_ms))),
            message: Some(message).filter(|text| !healthy && !text.is_empty()),
            status: status.to_owned(),
            type_: kind,
            ..PodCondition::default()
        }
    };
    settled.map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_come_with_the_pod_or_not_at_all() {
        let check = r#"[{"container": "c", "number": 0, "kill": true, "probe": {"tcpSocket": {"port": 80}}}]"#;
        let pod = |text: &str| {
            let annotations = [(ANNOTATION.to_owned(), text.to_owned())].into();
            let mut pod = Pod::default();
            pod.metadata.annotations = Some(annotations);
            pod
        };
        let read_one = read(&pod(check)).unwrap();
        assert_eq!((read_one.len(), read_one[0].kill), (1, true));
        assert!(read(&Pod::default()).unwrap().is_empty());
        assert!(read(&pod("[{}]")).is_err());
    }
}
