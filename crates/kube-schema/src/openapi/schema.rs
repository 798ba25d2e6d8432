//! Schemas of types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{describe::Sentences, group_version_kind};
use crate::{
    kind::Kind,
    table::{Field, ListType, Message, Type, message, message_of, message_of_kind},
};

/// Schemas collected for one document, with all that they refer to.
pub(super) struct Schemas<'a> {
    sentences: &'a Sentences,
    done: BTreeMap<String, Value>,
    waiting: Vec<&'static Message>,
}

impl<'a> Schemas<'a> {
    /// An empty collection.
    pub(super) fn new(sentences: &'a Sentences) -> Self {
        Self { sentences, done: BTreeMap::new(), waiting: Vec::new() }
    }

    /// Adds a served kind.
    pub(super) fn add_kind(&mut self, kind: &Kind) {
        self.add(message_of_kind(kind), Some(group_version_kind(kind)));
    }

    /// Adds a type by the group ("meta" for meta.v1), version and kind it has on the wire.
    pub(super) fn add_named(&mut self, group: &str, version: &str, kind: &str) {
        let found =
            if group == "meta" { message(&format!("meta.v1.{kind}")) } else { message_of(group, version, kind) };
        if let Some(message) = found {
            let group = if group == "meta" { "" } else { group };
            self.add(message, Some(json!({"group": group, "version": version, "kind": kind})));
        }
    }

    /// Adds the list of a kind.
    pub(super) fn add_list(&mut self, kind: &Kind) {
        let item = definition(message_of_kind(kind).name);
        let name = format!("{item}List");
        let mut properties = type_meta(self.sentences);
        properties.insert("metadata".to_owned(), reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"));
        properties.insert("items".to_owned(), json!({"type": "array", "items": reference(&item)}));
        let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.list_kind()});
        let schema = json!({"type": "object", "required": ["items"], "properties": properties,
            "description": format!("{} is a list of {} objects.", kind.list_kind(), kind.kind),
            "x-kubernetes-group-version-kind": [gvk]});
        self.done.insert(name, schema);
        self.waiting.extend(message("meta.v1.ListMeta"));
    }

    /// All schemas, complete.
    pub(super) fn finish(mut self) -> BTreeMap<String, Value> {
        while let Some(message) = self.waiting.pop() {
            self.add(message, None);
        }
        self.done
    }

    fn add(&mut self, message: &'static Message, gvk: Option<Value>) {
        let name = definition(message.name);
        if let Some(known) = self.done.get_mut(&name) {
            if let (Some(gvk), None) = (gvk, known.get("x-kubernetes-group-version-kind")) {
                known["x-kubernetes-group-version-kind"] = json!([gvk]);
            }
            return;
        }
        // Reserved first, so that a type may refer to itself.
        self.done.insert(name.clone(), Value::Null);
        let schema = self.object(message, &name, gvk);
        self.done.insert(name, schema);
    }

    fn object(&mut self, message: &'static Message, name: &str, gvk: Option<Value>) -> Value {
        let mut properties = if message.is_kind { type_meta(self.sentences) } else { Map::new() };
        for field in &message.fields {
            properties.insert(field.name.to_owned(), self.field(name, field));
        }
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        let required: Vec<&str> = message.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if let Some(text) = self.sentences.get(name, "") {
            schema["description"] = json!(text);
        }
        if message.atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        if let Some(gvk) = gvk {
            schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        }
        schema
    }

    fn field(&mut self, owner: &str, field: &'static Field) -> Value {
        let mut schema = self.value(&field.kind, owner);
        if let Some(text) = self.sentences.get(owner, field.name) {
            schema["description"] = json!(text);
        }
        if let Some(list) = field.list_type {
            schema["x-kubernetes-list-type"] = json!(match list {
                ListType::Atomic => "atomic",
                ListType::Set => "set",
                ListType::Map => "map",
            });
        }
        if !field.list_keys.is_empty() {
            schema["x-kubernetes-list-map-keys"] = json!(field.list_keys);
        }
        if field.map_atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        let strategies = [
            (field.strategy.merge, "merge"),
            (field.strategy.replace, "replace"),
            (field.strategy.retain_keys, "retainKeys"),
        ];
        let names: Vec<&str> = strategies.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        if !names.is_empty() {
            schema["x-kubernetes-patch-strategy"] = json!(names.join(","));
        }
        if let Some(key) = field.merge_key {
            schema["x-kubernetes-patch-merge-key"] = json!(key);
        }
        schema
    }

    fn value(&mut self, kind: &'static Type, owner: &str) -> Value {
        match kind {
            Type::String => json!({"type": "string"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Any if owner.starts_with("io.k8s.apiextensions") => json!({}),
            Type::Any => json!({"type": "object"}),
            Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => json!({}),
            Type::Quantity => {
                self.special("api.resource.Quantity", json!({"oneOf": [{"type": "string"}, {"type": "number"}]}))
            }
            Type::IntOrString => self.special(
                "util.intstr.IntOrString",
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            Type::Time => self.special("meta.v1.Time", json!({"type": "string", "format": "date-time"})),
            Type::MicroTime => self.special("meta.v1.MicroTime", json!({"type": "string", "format": "date-time"})),
            Type::List(inner) => json!({"type": "array", "items": self.value(inner, owner)}),
            Type::Map(inner) => json!({"type": "object", "additionalProperties": self.value(inner, owner)}),
            Type::Message(id) => {
                let message = id.get();
                if !self.done.contains_key(&definition(message.name)) {
                    self.waiting.push(message);
                }
                reference(&definition(message.name))
            }
        }
    }

    fn special(&mut self, short: &str, mut schema: Value) -> Value {
        let name = definition(short);
        if !self.done.contains_key(&name) {
            if let Some(text) = self.sentences.get(&name, "") {
                schema["description"] = json!(text);
            }
            self.done.insert(name.clone(), schema);
        }
        reference(&name)
    }
}

fn type_meta(sentences: &Sentences) -> Map<String, Value> {
    let text = |field: &str| {
        let text = sentences.get("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", field).unwrap_or_default();
        json!({"type": "string", "description": text})
    };
    [("apiVersion".to_owned(), text("apiVersion")), ("kind".to_owned(), text("kind"))].into_iter().collect()
}

/// A reference that may have a description beside it.
fn reference(definition: &str) -> Value {
    json!({"allOf": [{"$ref": format!("#/components/schemas/{definition}")}]})
}

/// `core.v1.Pod` → `io.k8s.api.core.v1.Pod`.
pub(super) fn definition(short: &str) -> String {
    let prefix = match short.split('.').next().unwrap_or_default() {
        "meta" => "io.k8s.apimachinery.pkg.apis",
        "api" | "util" | "runtime" | "version" => "io.k8s.apimachinery.pkg",
        "apiextensions" => "io.k8s.apiextensions-apiserver.pkg.apis",
        "apiregistration" => "io.k8s.kube-aggregator.pkg.apis",
        _ => "io.k8s.api",
    };
    format!("{prefix}.{short}")
}
