//! `/virtualNodePools`.

use super::{LifecycleState, Pool, operation, store, wire::PoolResponse};
use crate::{
    Cloud, Error,
    rest::{Caller, Params, Sort, SortKey, accepted, resource},
};
use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use bytes::Bytes;
use std::sync::Arc;

const SORTS: &[Sort] = &[
    Sort { word: "TIME_CREATED", column: "created_ms" },
    Sort { word: "NAME", column: "display_name" },
    Sort { word: "ID", column: "id" },
];

pub(crate) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/virtualNodePools", get(list).post(create))
        .route("/virtualNodePools/{id}", get(read).put(update).delete(remove))
}

async fn create(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    Ok(accepted(&operation::create(&cloud, &caller, &body).await?))
}

async fn list(State(cloud): State<Arc<Cloud>>, caller: Caller, params: Params) -> Result<Response, Error> {
    let compartment = caller.compartment(params.required("compartmentId")?)?;
    let states: Vec<LifecycleState> = params.words("lifecycleState")?;
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = store::Filter { cluster_id: text("clusterId"), display_name: text("displayName"), states };
    let page = params.page(SORTS, false)?;
    let rows = store::list(&cloud.db, &compartment, &filter, &page).await?;
    let key = |pool: &Pool, column: &str| {
        let key = match column {
            "created_ms" => SortKey::Number(pool.created_ms),
            "display_name" => SortKey::Text(pool.display_name.clone()),
            _ => SortKey::Text(pool.id.as_str().into()),
        };
        (key, pool.id.as_str().to_owned())
    };
    Ok(page.answer(rows, key, PoolResponse::from))
}

async fn read(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    let pool = operation::find(&cloud, &caller, &id).await?;
    let etag = pool.etag();
    Ok(resource(PoolResponse::from(pool), Some(&etag)))
}

async fn update(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Error> {
    Ok(accepted(&operation::update(&cloud, &caller, &id, &body).await?))
}

async fn remove(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(accepted(&operation::delete(&cloud, &caller, &id).await?))
}
