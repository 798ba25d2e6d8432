//! Reads structs, JSON names and field types out of k8s-openapi's generated code.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

/// One type with its JSON fields.
pub(crate) struct Shape {
    /// Short name, as `core.v1.Pod`.
    pub(crate) name: String,
    /// Whether it has `apiVersion` and `kind`.
    pub(crate) is_kind: bool,
    /// Fields in alphabetical order of the source.
    pub(crate) fields: Vec<ShapeField>,
}

/// One field.
pub(crate) struct ShapeField {
    /// Name in JSON.
    pub(crate) json: String,
    /// Type code, see `table.rs`.
    pub(crate) kind: String,
    /// Whether the schema lists it as required.
    pub(crate) required: bool,
}

/// All types.
pub(crate) struct Shapes {
    by_name: BTreeMap<String, Shape>,
}

impl Shapes {
    /// Reads all files under `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut texts = Vec::new();
        walk(root, &mut |path, text| texts.push((path, text)))?;
        let mut names = HashMap::new();
        for (path, text) in &texts {
            if let Some((definition, item)) = heading(text) {
                names.insert(rust_path(root, path, item), short_name(definition));
            }
        }
        let mut by_name = BTreeMap::new();
        for (_, text) in &texts {
            if let Some((definition, _)) = heading(text)
                && text.contains("\npub struct ")
                && !text.contains("\npub struct List<")
                && let Some(shape) = shape(&short_name(definition), text, &names)?
            {
                by_name.insert(shape.name.clone(), shape);
            }
        }
        Ok(Self { by_name })
    }

    /// All types in the order of their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Shape> {
        self.by_name.values()
    }
}

/// Calls `found` for each Rust file below `root`.
pub(crate) fn walk(root: &Path, found: &mut dyn FnMut(PathBuf, String)) -> Result<(), String> {
    let entries = fs::read_dir(root).map_err(|e| format!("{}: {e}", root.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            found(path, text);
        }
    }
    Ok(())
}

/// Definition name and Rust item name of a file.
fn heading(text: &str) -> Option<(&str, &str)> {
    let definition = text.lines().next()?.strip_prefix("// Generated from definition ")?;
    let line = text.lines().find(|l| l.starts_with("pub struct ") || l.starts_with("pub enum "))?;
    let item = line.split([' ', '(', '{', '<']).nth(2)?;
    Some((definition, item))
}

fn rust_path(root: &Path, file: &Path, item: &str) -> String {
    let folder = file.parent().and_then(|p| p.strip_prefix(root).ok()).unwrap_or(Path::new(""));
    let parts: Vec<_> = folder.iter().map(|p| p.to_string_lossy()).collect();
    format!("crate::{}::{item}", parts.join("::"))
}

/// `io.k8s.api.core.v1.Pod` → `core.v1.Pod`.
fn short_name(definition: &str) -> String {
    let prefixes = [
        "io.k8s.apimachinery.pkg.apis.",
        "io.k8s.apimachinery.pkg.",
        "io.k8s.apiextensions-apiserver.pkg.apis.",
        "io.k8s.kube-aggregator.pkg.apis.",
        "io.k8s.api.",
    ];
    let stripped = prefixes.iter().find_map(|p| definition.strip_prefix(p));
    stripped.unwrap_or(definition).to_owned()
}

fn shape(name: &str, text: &str, names: &HashMap<String, String>) -> Result<Option<Shape>, String> {
    let Some(start) = text.find("\npub struct ") else { return Ok(None) };
    let body = &text[start + 1..];
    let Some((_, body)) = body.split_once(" {\n") else { return Ok(None) };
    let Some((body, _)) = body.split_once("\n}\n") else { return Ok(None) };
    if text[start..].lines().nth(1).is_some_and(|l| l.contains('(')) {
        return Ok(None);
    }
    let json: HashMap<&str, &str> = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix(',')?.split_once("\" => Field::Key_"))
        .map(|(json, rust)| (rust, json))
        .collect();
    let mut fields = Vec::new();
    for line in body.lines() {
        let Some((rust, kind)) =
            line.strip_prefix("    pub ").and_then(|l| l.strip_suffix(',')).and_then(|l| l.split_once(": "))
        else {
            continue;
        };
        let rust = rust.strip_prefix("r#").unwrap_or(rust);
        let json = json.get(rust).ok_or_else(|| format!("{name}: no JSON name of {rust}"))?;
        let (kind, required) = match wrapped(kind, "Option<") {
            Some(inner) => (inner, false),
            None => (kind, true),
        };
        let code = code(kind, names).ok_or_else(|| format!("{name}.{json}: unknown type {kind}"))?;
        fields.push(ShapeField { json: (*json).to_owned(), kind: code, required });
    }
    let is_kind = text.contains("impl crate::Resource for ");
    Ok(Some(Shape { name: name.to_owned(), is_kind, fields }))
}

fn wrapped<'a>(kind: &'a str, prefix: &str) -> Option<&'a str> {
    kind.strip_prefix(prefix)?.strip_suffix('>')
}

fn code(kind: &str, names: &HashMap<String, String>) -> Option<String> {
    if let Some(inner) = wrapped(kind, "std::vec::Vec<") {
        return Some(format!("[{}", code(inner, names)?));
    }
    if let Some(inner) = wrapped(kind, "std::collections::BTreeMap<std::string::String, ") {
        return Some(format!("{{{}", code(inner, names)?));
    }
    if let Some(inner) = wrapped(kind, "std::boxed::Box<") {
        return code(inner, names);
    }
    let simple = match kind {
        "std::string::String" => "s",
        "i32" => "i",
        "i64" => "l",
        "bool" => "b",
        "f64" => "d",
        "crate::ByteString" => "y",
        "crate::serde_json::Value" => "j",
        _ => match names.get(kind)?.as_str() {
            "api.resource.Quantity" => "q",
            "util.intstr.IntOrString" => "x",
            "meta.v1.Time" => "t",
            "meta.v1.MicroTime" => "u",
            "runtime.RawExtension" | "meta.v1.FieldsV1" | "apiextensions.v1.JSON" | "meta.v1.Patch" => "j",
            "apiextensions.v1.JSONSchemaPropsOrArray" => "A",
            "apiextensions.v1.JSONSchemaPropsOrBool" => "B",
            "apiextensions.v1.JSONSchemaPropsOrStringArray" => "S",
            message => return Some(format!("@{message}")),
        },
    };
    Some(simple.to_owned())
}
