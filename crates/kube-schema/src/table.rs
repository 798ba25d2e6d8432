//! The table of types, read once from `table/types.txt` and shared by all clusters.
//!
//! Codes of types in the file: `s` string, `i` int32, `l` int64, `b` bool, `d` double, `q` quantity, `x` int-or-string,
//! `t` time, `u` microtime, `y` bytes, `j` anything, `A`/`B`/`S` a JSON schema or a list / bool / string list,
//! `@name` message (`@.Name` in the same package), `[` list of, `{` map of. Flags: `!` required, `z` zero means unset,
//! `l=` list type, `lk=` list map keys, `ma` atomic map, `p=` patch strategy, `pk=` patch merge key.

use std::{collections::HashMap, sync::LazyLock};

use crate::kind::Kind;

/// A type with named fields.
#[derive(Debug)]
pub struct Message {
    /// Short name, as `core.v1.PodSpec`.
    pub name: &'static str,
    /// Whether it may carry `apiVersion` and `kind`.
    pub is_kind: bool,
    /// Whether appliers own it as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Fields, sorted by name.
    pub fields: Vec<Field>,
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// Protobuf tags from the outermost message to the field; more than one where JSON inlines; empty if unknown.
    pub tags: Vec<u32>,
    /// Type of its value.
    pub kind: Type,
    /// Whether the schema lists it as required.
    pub required: bool,
    /// Whether Go would leave its zero value out.
    pub omits_zero: bool,
    /// How appliers own a list.
    pub list_type: Option<ListType>,
    /// Keys of a list that is a map.
    pub list_keys: Vec<&'static str>,
    /// Whether appliers own the map as a whole.
    pub map_atomic: bool,
    /// How strategic merge patch treats it.
    pub strategy: Strategy,
    /// Key by which strategic merge patch matches list elements.
    pub merge_key: Option<&'static str>,
}

/// Type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Boolean.
    Bool,
    /// Number.
    Double,
    /// `resource.Quantity`.
    Quantity,
    /// Number or text.
    IntOrString,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// Base64.
    Bytes,
    /// Any JSON.
    Any,
    /// `JSONSchemaProps` or a list of them.
    SchemaOrArray,
    /// `JSONSchemaProps` or a boolean.
    SchemaOrBool,
    /// `JSONSchemaProps` or a list of texts.
    SchemaOrStrings,
    /// List.
    List(Box<Type>),
    /// Map from text.
    Map(Box<Type>),
    /// Another message.
    Message(MessageId),
}

/// How server-side apply treats a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// Owned as a whole.
    Atomic,
    /// Each value owned by itself.
    Set,
    /// Each element, found by its keys, owned by itself.
    Map,
}

/// How strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strategy {
    /// Lists: merge elements instead of replacing the list.
    pub merge: bool,
    /// Maps: replace instead of merging.
    pub replace: bool,
    /// Unions: clients say with `$retainKeys` which fields stay.
    pub retain_keys: bool,
}

/// Place of a message in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(usize);

impl MessageId {
    /// The message itself.
    #[must_use]
    pub fn get(self) -> &'static Message {
        &TABLE.messages[self.0]
    }
}

impl Message {
    /// The field with a JSON name; not `apiVersion` and `kind` of a kind.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &self.fields[i])
    }

    /// Name without its package, as `PodSpec`.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, name)| name)
    }
}

struct Table {
    messages: Vec<Message>,
    by_name: HashMap<&'static str, usize>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("table/types.txt")));

/// The message of a short name, as `core.v1.Pod`.
#[must_use]
pub fn message(name: &str) -> Option<&'static Message> {
    TABLE.by_name.get(name).map(|i| &TABLE.messages[*i])
}

/// The message of an object's `apiVersion` and `kind`, also of kinds that are never stored (`Eviction`, `Scale`).
#[must_use]
pub fn message_of(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    let package = match group {
        "" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        _ => group.split('.').next().unwrap_or_default(),
    };
    message(&format!("{package}.{version}.{kind}")).or_else(|| {
        let meta = matches!(kind, "DeleteOptions" | "Status" | "ObjectMeta");
        message(&format!("meta.v1.{kind}")).filter(|_| meta)
    })
}

/// The message of a served kind.
/// # Panics
/// Never: a test finds one for each kind.
#[must_use]
pub fn message_of_kind(kind: &Kind) -> &'static Message {
    message_of(kind.group, kind.version, kind.kind).expect("each served kind is in the table")
}

fn read(text: &'static str) -> Table {
    let mut by_name = HashMap::new();
    let names = text.lines().filter_map(|l| l.strip_prefix("T ")).filter_map(|l| l.split(' ').next());
    for (index, name) in names.enumerate() {
        by_name.insert(name, index);
    }
    let mut messages: Vec<Message> = Vec::with_capacity(by_name.len());
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        if first == "T" {
            let name = words.next().unwrap_or_default();
            let flags: Vec<&str> = words.collect();
            let (is_kind, atomic) = (flags.contains(&"kind"), flags.contains(&"atomic"));
            messages.push(Message { name, is_kind, atomic, fields: Vec::new() });
        } else if let Some(message) = messages.last_mut() {
            let package = message.name.rsplit_once('.').map_or("", |(p, _)| p);
            message.fields.push(read_field(first, words, package, &by_name));
        }
    }
    for message in &mut messages {
        message.fields.sort_by_key(|f| f.name);
    }
    Table { messages, by_name }
}

fn read_field(
    name: &'static str,
    mut words: std::str::Split<'static, char>,
    package: &str,
    names: &HashMap<&'static str, usize>,
) -> Field {
    let tags = words.next().unwrap_or_default().split('.').filter_map(|t| t.parse().ok()).collect();
    let kind = read_type(words.next().unwrap_or_default(), package, names);
    let mut field = Field {
        name,
        tags,
        kind,
        required: false,
        omits_zero: false,
        list_type: None,
        list_keys: Vec::new(),
        map_atomic: false,
        strategy: Strategy::default(),
        merge_key: None,
    };
    for flag in words {
        match flag.split_once('=') {
            None if flag == "!" => field.required = true,
            None if flag == "z" => field.omits_zero = true,
            None => field.map_atomic = flag == "ma",
            Some(("l", "atomic")) => field.list_type = Some(ListType::Atomic),
            Some(("l", "set")) => field.list_type = Some(ListType::Set),
            Some(("l", "map")) => field.list_type = Some(ListType::Map),
            Some(("lk", keys)) => field.list_keys = keys.split(',').collect(),
            Some(("pk", key)) => field.merge_key = Some(key),
            Some(("p", strategies)) => {
                for strategy in strategies.split(',') {
                    field.strategy.merge |= strategy == "merge";
                    field.strategy.replace |= strategy == "replace";
                    field.strategy.retain_keys |= strategy == "retainKeys";
                }
            }
            Some(_) => {}
        }
    }
    field
}

fn read_type(code: &str, package: &str, names: &HashMap<&'static str, usize>) -> Type {
    let (first, rest) = code.split_at(1.min(code.len()));
    match first {
        "s" => Type::String,
        "i" => Type::Int32,
        "l" => Type::Int64,
        "b" => Type::Bool,
        "d" => Type::Double,
        "q" => Type::Quantity,
        "x" => Type::IntOrString,
        "t" => Type::Time,
        "u" => Type::MicroTime,
        "y" => Type::Bytes,
        "A" => Type::SchemaOrArray,
        "B" => Type::SchemaOrBool,
        "S" => Type::SchemaOrStrings,
        "[" => Type::List(Box::new(read_type(rest, package, names))),
        "{" => Type::Map(Box::new(read_type(rest, package, names))),
        "@" => {
            let full = rest.strip_prefix('.').map_or_else(|| rest.to_owned(), |item| format!("{package}.{item}"));
            names.get(full.as_str()).map_or(Type::Any, |index| Type::Message(MessageId(*index)))
        }
        _ => Type::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::kinds;

    #[test]
    fn each_kind_has_a_type() {
        for kind in kinds() {
            let message = message_of(kind.group, kind.version, kind.kind);
            assert!(message.is_some_and(|m| m.is_kind), "{} {}", kind.api_version(), kind.kind);
        }
    }

    #[test]
    fn each_reference_is_known() {
        for line in include_str!("table/types.txt").lines().filter(|l| !l.starts_with(['#', 'T'])) {
            assert!(!line.contains("@ "), "{line}");
        }
        let containers = message("core.v1.PodSpec").unwrap().field("containers").unwrap();
        assert!(matches!(&containers.kind, Type::List(t) if matches!(**t, Type::Message(_))));
        assert_eq!(containers.merge_key, Some("name"));
        assert!(containers.strategy.merge && containers.required);
    }

    #[test]
    fn each_kind_of_the_source_is_served_or_known_not_to_be() {
        use k8s_openapi::{ListableResource, Resource, api};
        fn served<T: Resource + ListableResource>() {
            let kind = crate::by_kind(T::GROUP, T::VERSION, T::KIND).unwrap();
            assert_eq!((kind.plural, kind.list_kind().as_str()), (T::URL_PATH_SEGMENT, T::LIST_KIND));
        }
        served::<api::core::v1::Pod>();
        served::<api::apps::v1::Deployment>();
        served::<api::rbac::v1::ClusterRole>();
        served::<api::networking::v1::NetworkPolicy>();
        served::<api::policy::v1::PodDisruptionBudget>();
        served::<api::storage::v1::CSIStorageCapacity>();
    }
}
