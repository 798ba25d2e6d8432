//! Label selectors and node selectors, decided on plain maps.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Whether labels fit a selector. An empty selector fits everything, as in `metav1.LabelSelector`; an operator that
/// does not exist fits nothing.
#[must_use]
pub fn fits(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|wanted| {
            let value = labels.get(&wanted.key);
            let among = |value: &String| wanted.values.iter().flatten().any(|other| other == value);
            match wanted.operator.as_str() {
                "In" => value.is_some_and(among),
                "NotIn" => !value.is_some_and(among),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Whether a selector says nothing: for a controller that means "no pods", for an affinity term "all pods".
#[must_use]
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether labels have all the wanted values (the selector of a Service, `spec.nodeSelector`).
#[must_use]
pub fn has_all(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a node fits one term of a node affinity: all its expressions on labels and on `metadata.name`. A term
/// without either fits nothing.
#[must_use]
pub fn node_fits(term: &NodeSelectorTerm, name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    if expressions.clone().next().is_none() && fields.clone().next().is_none() {
        return false;
    }
    expressions.clone().all(|wanted| requirement_fits(wanted, labels.get(&wanted.key).map(String::as_str)))
        && fields.clone().all(|wanted| wanted.key == "metadata.name" && requirement_fits(wanted, Some(name)))
}

fn requirement_fits(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let among = |value: &str| wanted.values.iter().flatten().any(|other| other == value);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || wanted.values.iter().flatten().next().and_then(|text| number(text));
    let against = |decide: fn(&i64, &i64) -> bool| {
        value.and_then(number).zip(bound()).is_some_and(|(value, bound)| decide(&value, &bound))
    };
    match wanted.operator.as_str() {
        "In" => value.is_some_and(among),
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => against(i64::gt),
        "Lt" => against(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn labels() -> Labels {
        [("app", "web"), ("n", "5")].map(|(k, v)| (k.into(), v.into())).into()
    }

    #[track_caller]
    fn check(selector: Value, expect: bool) {
        let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
        assert_eq!(fits(&parsed, &labels()), expect, "{selector}");
    }

    #[test]
    fn label_selectors_combine_by_and() {
        check(json!({}), true);
        check(json!({"matchLabels": {"app": "web"}}), true);
        check(json!({"matchLabels": {"app": "web", "x": "y"}}), false);
        check(json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "web"]}]}), true);
        check(json!({"matchExpressions": [{"key": "x", "operator": "In", "values": ["a"]}]}), false);
        check(json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}), true);
        check(json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false);
        check(
            json!({"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "x", "operator": "Exists"}]}),
            false,
        );
    }

    #[track_caller]
    fn check_node(term: Value, expect: bool) {
        let parsed: NodeSelectorTerm = serde_json::from_value(term.clone()).unwrap();
        assert_eq!(node_fits(&parsed, "node-1", &labels()), expect, "{term}");
    }

    #[test]
    fn node_terms_look_at_labels_and_at_the_name() {
        check_node(json!({}), false);
        check_node(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}), true);
        check_node(
            json!({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}),
            false,
        );
        check_node(json!({"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["4"]}]}), true);
        check_node(json!({"matchExpressions": [{"key": "n", "operator": "Lt", "values": ["5"]}]}), false);
        check_node(json!({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["5"]}]}), false);
    }
}
