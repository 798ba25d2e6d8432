//! Single values from the wire to JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    DecodeError, MAX_DEPTH, PROTOBUF_MAGIC, envelope, message_to_json,
    wire::{Reader, Wire},
};
use crate::{
    field::is_zero,
    scalar::canonical_quantity,
    table::{Field, Type, message},
};

/// UTF-8 text.
pub(super) fn text(bytes: &[u8], name: &str) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Content(name.to_owned()))
}

/// Puts one occurrence of a field into `out`: appends to lists and maps, replaces single values.
pub(super) fn read_field(
    field: &Field,
    wire: &Wire<'_>,
    out: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), DecodeError> {
    match &field.kind {
        Type::List(inner) => {
            let slot = out.entry(field.name).or_insert_with(|| json!([]));
            let Value::Array(items) = slot else { return Ok(()) };
            if let (Type::Int32 | Type::Int64, Wire::Bytes(packed)) = (&**inner, wire) {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    items.push(integer(inner, reader.varint()?));
                }
            } else {
                items.push(read_value(inner, wire, field.name, depth)?);
            }
        }
        Type::Map(inner) => {
            let (key, value) = read_entry(inner, wire, field.name, depth)?;
            let slot = out.entry(field.name).or_insert_with(|| json!({}));
            if let Value::Object(entries) = slot {
                entries.insert(key, value);
            }
        }
        kind => {
            let value = read_value(kind, wire, field.name, depth)?;
            if !(value.is_null() || field.omits_zero && is_zero(&value)) {
                out.insert(field.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn read_entry(inner: &Type, wire: &Wire<'_>, name: &str, depth: usize) -> Result<(String, Value), DecodeError> {
    let Wire::Bytes(bytes) = wire else { return Err(wrong(name)) };
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Bytes(bytes)) => key = text(bytes, name)?,
            // Protobuf has no maps of lists: the list is wrapped in a message of its own.
            (2, Wire::Bytes(bytes)) if matches!(inner, Type::List(_)) => {
                value = Some(read_items(inner, bytes, name, depth)?);
            }
            (2, wire) => value = Some(read_value(inner, &wire, name, depth)?),
            _ => {}
        }
    }
    let empty = || match inner {
        Type::List(_) => json!([]),
        Type::Message(_) => json!({}),
        Type::Quantity => json!("0"),
        _ => json!(""),
    };
    Ok((key, value.unwrap_or_else(empty)))
}

fn read_items(list: &Type, bytes: &[u8], name: &str, depth: usize) -> Result<Value, DecodeError> {
    let Type::List(inner) = list else { return Err(wrong(name)) };
    let mut items = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((tag, wire)) = reader.next()? {
        if tag == 1 {
            items.push(read_value(inner, &wire, name, depth)?);
        }
    }
    Ok(Value::Array(items))
}

fn wrong(name: &str) -> DecodeError {
    DecodeError::WireType(name.to_owned())
}

fn integer(kind: &Type, number: u64) -> Value {
    // Negative numbers are on the wire as their 64-bit two's complement.
    let number = number.cast_signed();
    if *kind == Type::Int32 { i32::try_from(number).map_or(json!(number), |n| json!(n)) } else { json!(number) }
}

fn read_value(kind: &Type, wire: &Wire<'_>, name: &str, depth: usize) -> Result<Value, DecodeError> {
    match (kind, wire) {
        (Type::Int32 | Type::Int64, Wire::Varint(number)) => Ok(integer(kind, *number)),
        (Type::Bool, Wire::Varint(number)) => Ok(json!(*number != 0)),
        (Type::Double, Wire::Fixed64(bits)) => Ok(json!(f64::from_bits(*bits))),
        (Type::Double, Wire::Fixed32(bits)) => Ok(json!(f32::from_bits(*bits))),
        (Type::String, Wire::Bytes(bytes)) => text(bytes, name).map(Value::String),
        (Type::Bytes, Wire::Bytes(bytes)) => Ok(json!(STANDARD.encode(bytes))),
        (Type::Message(id), Wire::Bytes(bytes)) => message_to_json(id.get(), bytes, depth + 1),
        (Type::List(_), Wire::Bytes(bytes)) => read_items(kind, bytes, name, depth),
        (_, Wire::Bytes(bytes)) => read_special(kind, bytes, name, depth),
        _ => Err(wrong(name)),
    }
}

/// Messages whose JSON is not an object of their fields.
fn read_special(kind: &Type, bytes: &[u8], name: &str, depth: usize) -> Result<Value, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Depth);
    }
    let mut parts = Parts::default();
    let mut reader = Reader::new(bytes);
    while let Some((tag, wire)) = reader.next()? {
        parts.take(tag, &wire);
    }
    match kind {
        Type::Quantity => {
            let text = text(parts.first.unwrap_or(b"0"), name)?;
            canonical_quantity(&text).map(Value::String).ok_or_else(|| DecodeError::Content(name.to_owned()))
        }
        // Go writes Type always; 0 is a number, 1 a text.
        Type::IntOrString if parts.number == 1 => text(parts.third.unwrap_or_default(), name).map(Value::String),
        Type::IntOrString => Ok(integer(&Type::Int32, parts.second_number)),
        Type::Time | Type::MicroTime if bytes.is_empty() => Ok(Value::Null),
        Type::Time | Type::MicroTime => time(kind, parts.number, parts.second_number, name),
        Type::Any => raw(parts.first.unwrap_or_default(), name, depth),
        Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => schema(kind, bytes, name, depth),
        _ => Err(wrong(name)),
    }
}

#[derive(Default)]
struct Parts<'a> {
    number: u64,
    first: Option<&'a [u8]>,
    second_number: u64,
    third: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, tag: u32, wire: &Wire<'a>) {
        match (tag, wire) {
            (1, Wire::Varint(number)) => self.number = *number,
            (1, Wire::Bytes(bytes)) => self.first = Some(bytes),
            (2, Wire::Varint(number)) => self.second_number = *number,
            (3, Wire::Bytes(bytes)) => self.third = Some(bytes),
            _ => {}
        }
    }
}

fn time(kind: &Type, seconds: u64, nanos: u64, name: &str) -> Result<Value, DecodeError> {
    let bad = || DecodeError::Content(name.to_owned());
    let nanos = i32::try_from(nanos).map_err(|_| bad())?;
    let time = jiff::Timestamp::new(seconds.cast_signed(), nanos).map_err(|_| bad())?;
    let format = if *kind == Type::Time { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    Ok(json!(time.strftime(format).to_string()))
}

fn raw(bytes: &[u8], name: &str, depth: usize) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if bytes.starts_with(PROTOBUF_MAGIC) {
        return envelope(None, bytes, depth + 1);
    }
    serde_json::from_slice(bytes).map_err(|_| DecodeError::Content(name.to_owned()))
}

fn schema(kind: &Type, bytes: &[u8], name: &str, depth: usize) -> Result<Value, DecodeError> {
    let schema = message("apiextensions.v1.JSONSchemaProps").ok_or_else(|| wrong(name))?;
    let (mut single, mut list, mut allows) = (None, Vec::new(), false);
    let mut reader = Reader::new(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (kind, tag, wire) {
            (Type::SchemaOrBool, 1, Wire::Varint(number)) => allows = number != 0,
            (Type::SchemaOrBool, 2, Wire::Bytes(bytes)) | (_, 1, Wire::Bytes(bytes)) => {
                single = Some(message_to_json(schema, bytes, depth + 1)?);
            }
            (Type::SchemaOrArray, 2, Wire::Bytes(bytes)) => list.push(message_to_json(schema, bytes, depth + 1)?),
            (Type::SchemaOrStrings, 2, Wire::Bytes(bytes)) => list.push(Value::String(text(bytes, name)?)),
            _ => {}
        }
    }
    let other = if *kind == Type::SchemaOrBool { json!(allows) } else { Value::Array(list) };
    Ok(single.unwrap_or(other))
}
