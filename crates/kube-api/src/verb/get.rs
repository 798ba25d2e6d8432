//! Reading one object.

use crate::{call::Call, respond, table::Include};
use axum::response::Response;
use http::StatusCode;
use problem::kube::Status;

/// `GET` of one object.
///
/// # Errors
/// 404; 504 if it is asked for at a version that is not reached yet.
pub(crate) fn get(call: &Call, name: &str) -> Result<Response, Status> {
    let include = Include::parse(&call.query)?;
    let found = crate::ops::get(&call.cluster, call.kind, call.namespace(), name)?;
    if let Some(wanted) = super::list::version(&call.query)? {
        super::list::reached(&call.cluster, wanted)?;
    }
    Ok(respond::object(StatusCode::OK, call.kind, &found, call.answer, include))
}
