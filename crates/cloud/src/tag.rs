//! Tags: words that users put on resources.

use crate::{Error, error::invalid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Tags without a namespace.
pub(crate) type FreeformTags = BTreeMap<String, String>;
/// Tags by namespace.
pub(crate) type DefinedTags = BTreeMap<String, BTreeMap<String, TagValue>>;

/// A defined tag's value: any JSON, a text most of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub(crate) struct TagValue(Value);

/// Refuses too many or too long tags. Source: OCI's limits: 10 free-form and 64 defined ones of 100 and 256 characters.
pub(crate) fn check(freeform: &FreeformTags, defined: &DefinedTags) -> Result<(), Error> {
    let long = |key: &str, value: &str| key.is_empty() || key.chars().count() > 100 || value.chars().count() > 256;
    if freeform.len() > 10 || freeform.iter().any(|(key, value)| long(key, value)) {
        return Err(invalid("freeformTags: at most 10, keys of 1 to 100 and values of up to 256 characters"));
    }
    if defined.values().map(BTreeMap::len).sum::<usize>() > 64 {
        return Err(invalid("definedTags: at most 64"));
    }
    Ok(())
}
