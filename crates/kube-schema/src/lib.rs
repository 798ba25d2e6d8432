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
mod scalar;
mod table;

pub use convert::{from_storage, to_storage};
pub use discovery::{
    api_group, api_group_list, api_resource_list, api_versions, discovery_api_v2, discovery_api_v2beta1,
    discovery_apis_v2, discovery_apis_v2beta1,
};
pub use field::{
    DecodeProblem, FieldProblem, check_message_types, check_types, duplicate_fields, duplicate_fields_of, prune,
    prune_message, validate_fields, validate_message,
};
pub use kind::{
    Kind, Subresource, by_kind, by_plural, by_resource, group_versions, groups, kinds, subresource, versions,
};
pub use merge::{PatchError, strategic_merge};
pub use openapi::{openapi_v3_group, openapi_v3_index};
pub use protobuf::{DecodeError, PROTOBUF_MAGIC, from_protobuf};
pub use scalar::{canonical_micro_time, canonical_quantity, canonical_time};
pub use table::{Field, ListType, Message, MessageId, Strategy, Type, message, message_of, message_of_kind};
