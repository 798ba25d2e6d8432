//! Kubernetes' protobuf encoding (`application/vnd.kubernetes.protobuf`) to JSON.
//! The body is the magic `k8s\0` and a `runtime.Unknown`: type meta (1), raw message (2), encoding (3), type (4).

mod value;
mod wire;

use serde_json::{Map, Value};

use crate::{
    kind::Kind,
    table::{Message, message_of},
};
use wire::{Reader, Wire};

/// Four bytes before every Kubernetes protobuf message.
pub const PROTOBUF_MAGIC: &[u8] = b"k8s\0";

/// Depth at which a message is refused; real ones stay far below.
const MAX_DEPTH: usize = 64;

/// Why a protobuf body cannot be read; answer it as 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No `k8s\0` in front.
    #[error("provided data does not appear to be a protobuf message, expected prefix \"k8s\\x00\"")]
    Magic,
    /// A length or number runs past the end.
    #[error("unexpected EOF")]
    Truncated,
    /// A field's wire type is not that of its type.
    #[error("illegal wire type for field {0}")]
    WireType(String),
    /// Text that is not UTF-8, or raw JSON that is none.
    #[error("invalid content of field {0}")]
    Content(String),
    /// Nested too deeply.
    #[error("exceeded max depth")]
    Depth,
    /// No such kind.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind {
        /// `apiVersion` as sent.
        api_version: String,
        /// `kind` as sent.
        kind: String,
    },
    /// Compressed or otherwise wrapped content.
    #[error("unsupported content encoding {0:?}")]
    Encoding(String),
}

/// Reads a body that starts with `k8s\0`; `kind_hint` serves if the envelope names no kind.
/// # Errors
/// If the body is cut off, has no known kind or a field of another wire type.
pub fn from_protobuf(kind_hint: Option<&Kind>, body: &[u8]) -> Result<Value, DecodeError> {
    envelope(kind_hint, body, 0)
}

fn envelope(kind_hint: Option<&Kind>, body: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let unknown = body.strip_prefix(PROTOBUF_MAGIC).ok_or(DecodeError::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(unknown);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Bytes(meta)) => {
                let mut meta = Reader::new(meta);
                while let Some((tag, wire)) = meta.next()? {
                    match (tag, wire) {
                        (1, Wire::Bytes(text)) => api_version = value::text(text, "apiVersion")?,
                        (2, Wire::Bytes(text)) => kind = value::text(text, "kind")?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
                return Err(DecodeError::Encoding(value::text(encoding, "contentEncoding")?));
            }
            _ => {}
        }
    }
    if let Some(hint) = kind_hint.filter(|_| kind.is_empty()) {
        api_version = hint.api_version();
        hint.kind.clone_into(&mut kind);
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let Some(message) = message_of(group, version, &kind) else {
        return Err(DecodeError::UnknownKind { api_version, kind });
    };
    let mut object = message_to_json(message, raw, depth)?;
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".to_owned(), Value::String(api_version));
        map.insert("kind".to_owned(), Value::String(kind));
    }
    Ok(object)
}

fn message_to_json(message: &Message, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let mut map = Map::new();
    read_into(message, &[], bytes, &mut map, depth)?;
    Ok(Value::Object(map))
}

/// Reads the fields at tag path `prefix` of `message`; a path of several tags is a struct that JSON inlines.
fn read_into(
    message: &Message,
    prefix: &[u32],
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Depth);
    }
    let mut reader = Reader::new(bytes);
    while let Some((tag, wire)) = reader.next()? {
        let starts = |tags: &[u32]| tags.len() > prefix.len() && tags.starts_with(prefix) && tags[prefix.len()] == tag;
        let Some(field) = message.fields.iter().find(|f| starts(&f.tags)) else { continue };
        if field.tags.len() == prefix.len() + 1 {
            value::read_field(field, &wire, out, depth)?;
        } else if let Wire::Bytes(inner) = wire {
            let path = [prefix, &[tag]].concat();
            read_into(message, &path, inner, out, depth + 1)?;
        } else {
            return Err(DecodeError::WireType(field.name.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
