use super::*;

fn document(path: &str) -> Value {
    serde_json::from_slice(&crate::newest().openapi_v3_group(path).unwrap()).unwrap()
}

#[test]
fn index_names_each_group_version() {
    let index: Value = serde_json::from_slice(&crate::newest().openapi_v3_index()).unwrap();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{url}");
    assert_eq!(index["paths"].as_object().unwrap().len(), crate::newest().group_versions().len());
    assert!(crate::newest().openapi_v3_group("apis/nope/v1").is_none());
}

#[test]
fn every_reference_leads_somewhere() {
    for (group, version) in crate::newest().group_versions() {
        let document = document(&path(group, version));
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.get(name).is_some_and(Value::is_object), "{group}/{version}: {name}");
        }
    }
}

#[test]
fn patch_lists_the_parameters_kubectl_asks_for() {
    let document = document("apis/apps/v1");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let names: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"fieldValidation") && names.contains(&"dryRun") && names.contains(&"fieldManager"));
}

#[test]
fn schemas_carry_merge_rules_and_descriptions() {
    let document = document("api/v1");
    let spec = &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    let containers = &spec["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(spec["required"], json!(["containers"]));
    assert!(containers["description"].as_str().is_some_and(|text| text.len() > 20));
    let pod = &document["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
    assert!(pod["properties"]["apiVersion"]["description"].is_string());
}

#[test]
fn releases_have_documents_of_their_own() {
    let [old, new] = [crate::release("v1.35.0").unwrap(), crate::newest()];
    assert_ne!(old.openapi_v3_index(), new.openapi_v3_index());
    assert!(old.openapi_v3_group("apis/scheduling.k8s.io/v1alpha2").is_none());
    let document: Value = serde_json::from_slice(&old.openapi_v3_group("api/v1").unwrap()).unwrap();
    assert_eq!(document["info"]["version"], "v1.35.0");
}
