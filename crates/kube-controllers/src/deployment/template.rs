//! Telling templates apart: equality without the hash label, and a hash that stays the same for ever.

use super::HASH_LABEL;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// Letters that make no words. Source: `alphanums` in k8s.io/apimachinery/pkg/util/rand.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether two templates make the same pods; the hash label does not count.
pub(super) fn equal(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    plain(a) == plain(b)
}

/// The template as JSON without the hash label, and without what is empty: upstream's comparison makes no difference
/// between absent and empty.
fn plain(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).expect("a typed object serialises");
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(strip);
            fields.retain(|_, value| !is_nothing(value));
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The hash of a template that names its ReplicaSet. Invariant: depends on content only, not on the order of fields,
/// so that a Deployment finds its ReplicaSet again after any upgrade of ours.
pub(super) fn hash(template: &Value, collisions: i32) -> String {
    let mut state = Fnv(0x811c_9dc5);
    feed(&mut state, template);
    if collisions > 0 {
        state.write(collisions.to_string().as_bytes());
    }
    state.0.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

struct Fnv(u32);

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

fn feed(state: &mut Fnv, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().filter(|(_, value)| !is_nothing(value)).collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            state.write(b"{");
            for (key, value) in sorted {
                state.write(key.as_bytes());
                state.write(b":");
                feed(state, value);
            }
            state.write(b"}");
        }
        Value::Array(items) => {
            state.write(b"[");
            items.iter().for_each(|item| feed(state, item));
            state.write(b"]");
        }
        other => state.write(other.to_string().as_bytes()),
    }
    state.write(b",");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_ignores_order_and_emptiness_and_counts_collisions() {
        let one =
            hash(&json!({"metadata": {"labels": {"a": "b"}, "creationTimestamp": null}, "spec": {"x": 1, "y": 2}}), 0);
        let two = hash(&json!({"spec": {"y": 2, "x": 1}, "metadata": {"labels": {"a": "b"}}}), 0);
        assert_eq!(one, two);
        assert_ne!(one, hash(&json!({"spec": {"y": 2, "x": 1}, "metadata": {"labels": {"a": "b"}}}), 1));
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)));
    }

    #[test]
    fn the_hash_of_a_known_template_never_changes() {
        assert_eq!(hash(&json!({"spec": {"containers": [{"name": "a", "image": "b:1"}]}}), 0), "5798c8bd88");
    }

    #[test]
    fn the_hash_label_makes_no_difference() {
        let template = |labels: Value| -> PodTemplateSpec {
            serde_json::from_value(json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a"}]}}))
                .unwrap()
        };
        assert!(equal(&template(json!({"app": "x"})), &template(json!({"app": "x", HASH_LABEL: "1"}))));
        assert!(!equal(&template(json!({"app": "x"})), &template(json!({"app": "y"}))));
    }
}
