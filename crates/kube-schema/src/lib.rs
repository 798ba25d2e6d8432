//! What Kubernetes' built-in types look like: kinds, fields, merge rules, wire tags, as shared data.
//! Owns: discovery, OpenAPI, field validation, pruning, strategic merge, protobuf decoding.
//! Never: I/O, clocks, state of a cluster. What a kind *does* is `kube-kinds`' business.

mod convert;
mod discovery;
mod field;
mod kind;
mod merge;
mod openapi;
mod protobuf;
mod release;
mod scalar;
mod table;

pub use convert::{from_storage, to_storage};
pub use discovery::{Discovery, Form};
pub use field::{
    DecodeProblem, FieldProblem, check_message_types, check_types, duplicate_fields, duplicate_fields_of, prune,
    prune_message, validate_fields, validate_message,
};
pub use kind::{Kind, Subresource, by_kind, by_plural, by_resource, kinds, subresource};
pub use merge::{PatchError, strategic_merge};
pub use protobuf::{DecodeError, PROTOBUF_MAGIC, from_protobuf};
pub use release::{Release, newest, release, releases};
pub use scalar::{canonical_micro_time, canonical_quantity, canonical_time};
pub use table::{Field, ListType, Message, MessageId, Strategy, Type, message, message_of, message_of_kind};
