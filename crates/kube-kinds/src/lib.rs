//! How built-in kinds behave: defaults, validation, what a write may change, table columns, selectable fields.
//! Pure functions over JSON. Never: I/O, clocks (time is an argument), knowledge of other objects.

mod default;
mod json;
mod pod_qos;
mod prepare;
mod select;
mod table;
mod validate;

pub use default::set_defaults;
pub use pod_qos::qos_class;
pub use prepare::{prepare_create, prepare_status, prepare_subresource, prepare_update};
pub use problem::kube::Cause;
pub use select::{selectable_fields, selectable_names, stored_field};
pub use table::{Column, age, columns, row};
pub use validate::{validate_create, validate_name, validate_status, validate_subresource, validate_update};
