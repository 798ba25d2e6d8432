//! Reads tags and merge markers out of k8s-pb's generated code.

use std::{collections::HashMap, path::Path};

use crate::{
    normal,
    shape::{Shape, walk},
};

/// One message.
#[derive(Default)]
pub(crate) struct Wire {
    package: Vec<String>,
    fields: Vec<WireField>,
    /// `+structType=atomic`.
    pub(crate) atomic: bool,
}

/// One field of a message.
#[derive(Default, Clone)]
pub(crate) struct WireField {
    name: String,
    tag: u32,
    message: Option<String>,
    /// `+listType`.
    pub(crate) list_type: Option<String>,
    /// `+listMapKey`.
    pub(crate) list_keys: Vec<String>,
    /// `+mapType=atomic` or `+structType=atomic`.
    pub(crate) map_atomic: bool,
    /// `+patchStrategy`.
    pub(crate) strategy: Option<String>,
    /// `+patchMergeKey`.
    pub(crate) merge_key: Option<String>,
}

/// All messages by package and normalised name.
pub(crate) struct Wires {
    by_name: HashMap<String, Wire>,
}

impl Wires {
    /// Reads all files under `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        walk(root, &mut |path, text| {
            let folder = path.parent().and_then(|p| p.strip_prefix(root).ok()).unwrap_or(Path::new(""));
            let package: Vec<String> = folder.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            read_file(&package, &text, &mut by_name);
        })?;
        Ok(Self { by_name })
    }

    /// The message of a type such as `core.v1.Pod`; a type younger than the source keeps the tags of its beta.
    pub(crate) fn get(&self, short: &str) -> Option<&Wire> {
        let (package, item) = short.rsplit_once('.')?;
        let newer = || self.by_name.get(&key(&format!("{package}beta1"), item));
        self.by_name.get(&key(package, item)).or_else(newer)
    }

    /// The tag path to the JSON field `name`, through messages that JSON inlines.
    pub(crate) fn find<'a>(&'a self, wire: &'a Wire, name: &str, shape: &Shape) -> Option<(Vec<u32>, &'a WireField)> {
        if let Some(field) = wire.fields.iter().find(|f| f.name == name) {
            return Some((vec![field.tag], field));
        }
        for outer in &wire.fields {
            let inlined = !shape.fields.iter().any(|f| normal(&f.json) == outer.name);
            if let Some(message) = outer.message.as_deref().filter(|_| inlined)
                && let Some(inner) = self.resolve(&wire.package, message)
                && let Some((mut tags, field)) = self.find(inner, name, shape)
            {
                tags.insert(0, outer.tag);
                return Some((tags, field));
            }
        }
        None
    }

    fn resolve(&self, package: &[String], path: &str) -> Option<&Wire> {
        let mut folder = package.to_vec();
        let mut parts: Vec<&str> = path.split("::").collect();
        let item = parts.pop()?;
        for part in parts {
            if part == "super" {
                folder.pop();
            } else {
                folder.push(part.to_owned());
            }
        }
        self.by_name.get(&key(&short_package(&folder), item))
    }
}

fn key(package: &str, item: &str) -> String {
    format!("{package}.{}", normal(item))
}

/// `["api", "core", "v1"]` → `core.v1`.
fn short_package(folder: &[String]) -> String {
    let skip = match folder.first().map(String::as_str) {
        Some("api") => 1,
        Some("apimachinery") if folder.get(2).is_some_and(|f| f != "apis") => 2,
        _ => 3,
    };
    folder.get(skip..).unwrap_or_default().join(".")
}

fn read_file(package: &[String], text: &str, found: &mut HashMap<String, Wire>) {
    let mut atomic = false;
    let mut current: Option<(String, Wire)> = None;
    let mut pending = WireField::default();
    // A long type stands on its own line, below the name.
    let text = text
        .replace(":\n        ", ": ")
        .replace("<\n            ", "<")
        .replace(",\n        >,", ">,")
        .replace(",\n            ", ", ");
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(marker) = trimmed.strip_prefix("/// +") {
            read_marker(marker, &mut pending);
            atomic |= marker == "structType=atomic" && current.is_none();
        } else if let Some(name) = line.strip_prefix("pub struct ").and_then(|l| l.split(' ').next()) {
            current = Some((name.to_owned(), Wire { package: package.to_vec(), atomic, ..Wire::default() }));
            pending = WireField::default();
            atomic = false;
            if line.ends_with("{}") {
                finish(package, &mut current, found);
            }
        } else if line == "}" {
            finish(package, &mut current, found);
            pending = WireField::default();
            atomic = false;
        } else if let Some(attribute) = trimmed.strip_prefix("#[prost(") {
            pending.tag = tag(attribute).unwrap_or_default();
        } else if let (Some((name, kind)), Some((_, wire))) = (
            line.strip_prefix("    pub ").and_then(|l| l.split_once(": ")),
            current.as_mut().filter(|_| pending.tag != 0),
        ) {
            let mut field = std::mem::take(&mut pending);
            field.name = normal(name.strip_prefix("r#").unwrap_or(name));
            field.message = message_path(kind);
            wire.fields.push(field);
        }
    }
}

fn finish(package: &[String], current: &mut Option<(String, Wire)>, found: &mut HashMap<String, Wire>) {
    if let Some((name, wire)) = current.take() {
        found.insert(key(&short_package(package), &name), wire);
    }
}

fn tag(attribute: &str) -> Option<u32> {
    attribute.split("tag = \"").nth(1)?.split('"').next()?.parse().ok()
}

/// Path of the message in `Option<..>`; none for scalars, lists and maps.
fn message_path(kind: &str) -> Option<String> {
    let inner = kind.strip_prefix("::core::option::Option<")?.strip_suffix(">,")?;
    (!inner.starts_with("::prost") && inner.chars().any(char::is_uppercase)).then(|| inner.to_owned())
}

fn read_marker(marker: &str, field: &mut WireField) {
    let Some((name, value)) = marker.split_once('=') else { return };
    let value = value.trim().to_owned();
    match name {
        "listType" => field.list_type = Some(value),
        "listMapKey" => field.list_keys.push(value),
        "mapType" | "structType" => field.map_atomic = value == "atomic",
        "patchStrategy" => field.strategy = Some(value),
        "patchMergeKey" => field.merge_key = Some(value),
        _ => {}
    }
}
