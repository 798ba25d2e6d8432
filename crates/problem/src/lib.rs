//! What a caller is told when something goes wrong, in the two forms that our APIs speak.

pub mod kube;
pub mod oci;
