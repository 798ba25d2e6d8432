use super::*;
use serde_json::json;

/// A container: cpu limit, cpu request, memory limit, memory request, `+` at the end for a sidecar; `-` for none.
fn container(words: &str) -> Value {
    let mut container = json!({"name": "c", "resources": {"limits": {}, "requests": {}}});
    let places = [("limits", "cpu"), ("requests", "cpu"), ("limits", "memory"), ("requests", "memory")];
    let (words, sidecar) = words.strip_suffix(" +").map_or((words, false), |words| (words, true));
    for ((kind, resource), word) in places.into_iter().zip(words.split(' ')) {
        if word != "-" {
            container["resources"][kind][resource] = json!(word);
        }
    }
    if sidecar {
        container["restartPolicy"] = json!("Always");
    }
    container
}

const X86: u64 = 2;
const ARM: u64 = 1;
const NOTHING: &str = "- - - -";

/// Test vectors: containers, init containers, logical CPUs of an OCPU, then the size and what is billed.
#[rustfmt::skip]
const VECTORS: &[(&[&str], &[&str], u64, &str, &str)] = &[
    // Published with the rule.
    (&[NOTHING], &[], X86, "0.125 OCPU, 0.75 GB", "1 OCPU, 1 GB"),
    (&["500m - 1Gi -", "500m - 1Gi -"], &[], X86, "0.5 OCPU, 2.25 GB", "1 OCPU, 3 GB"),
    (&["2500m - 3Gi -"], &[], X86, "1.25 OCPU, 3.25 GB", "2 OCPU, 4 GB"),
    // Limits come before requests, each resource by itself; requests before the default.
    (&["1 500m 1Gi 512Mi"], &[], X86, "0.5 OCPU, 1.25 GB", "1 OCPU, 2 GB"),
    (&["1 500m - 1Gi"], &[], X86, "0.5 OCPU, 1.25 GB", "1 OCPU, 2 GB"),
    (&["- 3 - 2Gi"], &[], X86, "1.5 OCPU, 2.25 GB", "2 OCPU, 3 GB"),
    (&["- 3 - -"], &[], X86, "1.5 OCPU, 0.75 GB", "2 OCPU, 1 GB"),
    (&["- - 4Gi -"], &[], X86, "0.125 OCPU, 4.25 GB", "1 OCPU, 5 GB"),
    // The default is each container's, not the pod's.
    (&[NOTHING, NOTHING], &[], X86, "0.25 OCPU, 1.25 GB", "1 OCPU, 2 GB"),
    (&["2 - 2Gi -", NOTHING], &[], X86, "1.125 OCPU, 2.75 GB", "2 OCPU, 3 GB"),
    // The least, after the overhead.
    (&["10m - 1Mi -"], &[], X86, "0.125 OCPU, 0.5 GB", "1 OCPU, 1 GB"),
    (&["0 - 0 -"], &[], X86, "0.125 OCPU, 0.5 GB", "1 OCPU, 1 GB"),
    (&["10m - 256Mi -"], &[], X86, "0.125 OCPU, 0.5 GB", "1 OCPU, 1 GB"),
    (&["10m - 257Mi -"], &[], X86, "0.125 OCPU, 0.501 GB", "1 OCPU, 1 GB"),
    // Rounding up, at its edges.
    (&["2 - 768Mi -"], &[], X86, "1 OCPU, 1 GB", "1 OCPU, 1 GB"),
    (&["2001m - 769Mi -"], &[], X86, "1.001 OCPU, 1.001 GB", "2 OCPU, 2 GB"),
    (&["2 - 1G -"], &[], X86, "1 OCPU, 1.182 GB", "1 OCPU, 2 GB"),
    (&["128 - 1023Gi -"], &[], X86, "64 OCPU, 1023.25 GB", "64 OCPU, 1024 GB"),
    // On Arm one OCPU is one logical CPU.
    (&[NOTHING], &[], ARM, "0.125 OCPU, 0.75 GB", "1 OCPU, 1 GB"),
    (&["500m - 1Gi -", "500m - 1Gi -"], &[], ARM, "1 OCPU, 2.25 GB", "1 OCPU, 3 GB"),
    (&["2500m - 3Gi -"], &[], ARM, "2.5 OCPU, 3.25 GB", "3 OCPU, 4 GB"),
    // Init containers: the largest of them or the sum of the others; with the default of their own.
    (&["1 - 1Gi -"], &["4 - 512Mi -"], X86, "2 OCPU, 1.25 GB", "2 OCPU, 2 GB"),
    (&["1 - 1Gi -"], &["4 - 512Mi -", "1 - 8Gi -"], X86, "2 OCPU, 8.25 GB", "2 OCPU, 9 GB"),
    (&["100m - 64Mi -"], &[NOTHING], X86, "0.125 OCPU, 0.75 GB", "1 OCPU, 1 GB"),
    // Sidecars run beside both.
    (&["1 - 1Gi -"], &["1 - 1Gi - +"], X86, "1 OCPU, 2.25 GB", "1 OCPU, 3 GB"),
    (&["1 - 1Gi -"], &["1 - 1Gi - +", "4 - 4Gi -"], X86, "2.5 OCPU, 5.25 GB", "3 OCPU, 6 GB"),
    (&["1 - 1Gi -"], &["4 - 4Gi -", "1 - 1Gi - +"], X86, "2 OCPU, 4.25 GB", "2 OCPU, 5 GB"),
    (&["1 - 1Gi -"], &["- - - - +"], X86, "0.625 OCPU, 1.75 GB", "1 OCPU, 2 GB"),
];

#[test]
fn vectors() {
    for (containers, init, cpus_per_ocpu, exact, billed) in VECTORS {
        let list = |words: &[&str]| words.iter().map(|words| container(words)).collect::<Vec<_>>();
        let pod = json!({"spec": {"containers": list(containers), "initContainers": list(init)}});
        let size = PodSize::of(&pod, *cpus_per_ocpu);
        assert_eq!((&*size.to_string(), &*size.billed().to_string()), (*exact, *billed), "{pod}");
    }
}

#[test]
fn a_pod_without_a_spec_has_the_least_size() {
    assert_eq!(PodSize::of(&json!({}), 2).to_string(), "0.125 OCPU, 0.5 GB");
}
